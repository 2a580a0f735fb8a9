#include "admin/system.hpp"

#include "inquiry/heard_listing.hpp"
#include "inquiry/queue_client.hpp"
#include "inquiry/report_listing.hpp"
#include "inquiry/transcripts.hpp"
#include "inquiry/trial_listing.hpp"

namespace posthorn::admin {

namespace {

class Running final : public System {
public:
    explicit Running(config::Snapshot snapshot) : snapshot_(std::move(snapshot)) {}

    Result<handoff::QueueReply> queue(handoff::QueueCommand command) override
    {
        return inquiry::QueueClient(snapshot_, until()).ask(std::move(command));
    }
    Result<handoff::SitesReply> sites(std::uint32_t most) override { return inquiry::QueueClient(snapshot_, until()).sites(most); }
    inquiry::WhyAsked why(std::string word) override { return inquiry::ask_why(snapshot_, std::move(word), until()); }
    Result<std::vector<handoff::Transcript>> transcripts() override { return inquiry::read_transcripts(snapshot_); }
    Result<inquiry::KnownPeers> peers(const std::vector<std::string>& words) override
    {
        return inquiry::known_peers(snapshot_, words, now(), until());
    }
    Result<handoff::AggregateReports> reports(std::string domain) override
    {
        handoff::AggregateCommand command;
        command.set_domain(std::move(domain));
        return inquiry::ask_reporter(snapshot_, std::move(command), until());
    }
    Result<handoff::HeardReply> heard(handoff::HeardCommand command) override { return inquiry::ask_reports(snapshot_, std::move(command), until()); }
    Result<handoff::Trials> trials(handoff::TrialsCommand command) override { return inquiry::ask_trials(snapshot_, std::move(command), until()); }
    WallTime now() const override { return SystemClock().wall(); }
    std::string host() const override { return snapshot_.text("myhostname"); }

private:
    static inquiry::Until until() { return std::chrono::steady_clock::now() + longest_question; }

    const config::Snapshot snapshot_;
};

}  // namespace

std::unique_ptr<System> running_system(config::Snapshot snapshot) { return std::make_unique<Running>(std::move(snapshot)); }

}  // namespace posthorn::admin
