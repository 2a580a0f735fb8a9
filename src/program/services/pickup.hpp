// services/pickup.hpp: from the maildrop to the queue (pickup(8)).
// Each finished file is read as anybody's input (submit/pick_up.hpp), gets its Received: field, is cleaned and enqueued, and is removed when
// the queue has it. A file is first given its queue id in its name ("NAME+QID"): a process that ends in between does not make
// a second message of it, because the queue is first asked whether it has that one. What cannot be handed over now rests for a minute.
// What is no maildrop record is moved to corrupt/ with a warning; what cleanup refuses for good goes back to its sender.
// In two files: pickup.cpp is that way; pickup_returns.cpp is what comes back to the queue as new messages.
#pragma once

#include "base/clock.hpp"
#include "base/fd.hpp"
#include "handoff/frames.pb.h"
#include "handoff/interfaces.hpp"
#include "observe/log.hpp"
#include "report/compose.hpp"
#include "services/local_milters.hpp"
#include "spool/file_ops.hpp"
#include "submit/pick_up.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::services {

struct PickupOptions {
    std::string myhostname, mail_name, content_filter;
    submit::PickUpLimits limits;
    std::size_t header_limit = 1 << 20;          // beyond it the end of the header is looked for more closely
    std::uint32_t hopcount_limit = 50;
    std::size_t at_once = 20;
    std::chrono::seconds pause{60};          // before a file that could not be handed over is tried again
    std::chrono::seconds account_pause{300}; // the same where its account may hand in no more within the hour or day
    bool inspect_reports = false, inspect_notices = false;          // internal_mail_filter_classes
};
/// Sets these two by the words of internal_mail_filter_classes; an unknown one is the Error.
Result<void> set_internal_filter_classes(PickupOptions& options, std::string_view words);

class Pickup {
public:
    /// What is in force for reports: it changes with a reload.
    using Reports = std::function<const report::Options&()>;
    /// Asks the queue, as handoff::CommittedQuestion.
    using Committed = std::function<awaitable<Result<bool>>(std::string queue_id)>;

    /// Says where a report goes: its recipients mapped. An Error: not to be said now.
    using Address = std::function<awaitable<Result<void>>(handoff::Envelope*)>;

    /// What a report explains, for each verdict (report/explanations.hpp). It fails never.
    using Explain = std::function<awaitable<std::vector<std::string>>(const handoff::ReportRequest&)>;

    /// May who handed it in say that sender? None: it may.
    struct Verdict {
        std::string login;  // who it is, for the report; empty: it has no name here, and the postmaster is told
        bool allowed = true;
    };
    using Judge = std::function<awaitable<Result<Verdict>>(std::uint32_t user, std::string sender)>;

    /// What account_limit_maps says of who handed it in; none: nothing.
    using Limits = std::function<awaitable<Result<std::string>>(std::uint32_t user)>;

    Pickup(Executor executor, PickupOptions options, Reports reports, handoff::Queue& queue, Committed committed, handoff::Cleaner& cleaner,
           const Clock& clock, observe::Log log, observe::Log bounce_log);

    /// Looks at the maildrop until closed: at once, after wake(), and once a minute.
    void start();
    void wake()
    {
        again_ = true;
        wake_.notify_all();
    }
    awaitable<void> close();
    std::uint64_t picked_up() const { return picked_up_; }
    /// A message of the queue, cleaned anew under another queue id. Nothing is enqueued here: the answer takes the old one's place.
    awaitable<Result<handoff::RequeueReply>> requeue(handoff::RequeueRequest request, std::vector<Fd> content);
    /// From the next file on.
    void reconfigure(PickupOptions options);
    void address_reports(Address address) { address_ = std::move(address); }
    void limit_by(Limits limits) { limits_ = std::move(limits); }
    void explain_reports(Explain explain) { explain_ = std::move(explain); }
    void judge_senders(Judge judge) { judge_ = std::move(judge); }
    /// Checks reports and notices where the options say so: header and body, no addresses.
    void inspect_by(handoff::Cleaner* cleaner) { inspector_ = cleaner; }
    /// Cleans what local forwards; none: the one that cleans all else.
    void forward_by(handoff::Cleaner* cleaner) { forwarder_ = cleaner; }
    /// Whom new mail is shown to; none: nobody.
    void show_to(LocalMilters* milters) { milters_ = milters; }
    /// Composes reports for the queue, which enqueues them.
    awaitable<Result<handoff::ReportReply>> report(handoff::ReportRequest request);
    /// Composes and enqueues.
    awaitable<Result<handoff::SessionNoticeReply>> tell_postmaster(handoff::SessionNotice notice);

private:
    using Take = std::function<Result<void>(std::string_view)>;
    using Rest = std::function<Result<void>(const Take&)>;
    struct Read {
        handoff::Envelope envelope;
        std::string head, body;          // body: only where the whole is small
        bool whole = false;
    };

    awaitable<void> watch();
    awaitable<void> take(std::string name);
    awaitable<Result<void>> hand_over(std::string name, std::string queue_id);
    awaitable<Result<void>> hand_over_again(std::string name, std::string queue_id);
    awaitable<Result<void>> prepare(handoff::ReportReply* reply);
    awaitable<Result<void>> file_large(handoff::ReportReply* reply);
    awaitable<Result<handoff::RequeueReply>> clean_again(handoff::RequeueRequest request, std::vector<Fd> descriptors);
    awaitable<Result<handoff::RequeueReply>> pass_on(handoff::RequeueRequest request, std::vector<Fd> descriptors);
    awaitable<Result<void>> give(handoff::EnqueueRequest message);
    void forget(const handoff::Content& content);
    Result<Read> read(const std::string& name) const;
    Result<void> rest_of_file(const std::string& name, const Read& read, const Take& take) const;
    Result<handoff::Content> content(const std::string& queue_id, const std::string& head, std::uint64_t rest_size, const Rest& rest);
    using ReadAt = std::function<Result<std::size_t>(std::uint64_t, std::span<char>)>;
    Result<Fd> spooled_rest(const std::string& name, const Read& read) const;
    awaitable<std::expected<handoff::Content, handoff::Refusal>> checked_content(handoff::Cleaned* cleaned, ReadAt from);
    awaitable<Result<void>> give_to_queue(handoff::Envelope original, std::string head, handoff::Envelope envelope, handoff::Content content);
    awaitable<std::expected<Shown, handoff::Refusal>> show_content(handoff::Envelope envelope, const handoff::Content& content);
    Result<handoff::Content> changed_content(const std::string& queue_id, const handoff::Content& content, const Shown& shown);
    awaitable<Result<void>> enqueue(handoff::Envelope original, std::string head, handoff::Envelope envelope, handoff::Content content);
    awaitable<Result<void>> turn_away(handoff::Envelope envelope, std::string head, std::string login);
    awaitable<Result<bool>> inspect(handoff::EnqueueRequest* message);
    awaitable<std::expected<bool, handoff::Refusal>> show_and_change(handoff::Envelope* envelope, handoff::Content* content);
    awaitable<Result<void>> send_back(handoff::Envelope envelope, std::string head, handoff::Refusal refusal);
    awaitable<Result<std::string>> queue_id_soon();
    /// `user`: who handed it in; none: a process of ours made it, or sends it on.
    std::string received(const handoff::Envelope& envelope, std::optional<std::uint32_t> user) const;

    std::shared_ptr<const PickupOptions> options() const;

    mutable std::mutex options_lock_;            // the helper thread looks at them as well
    std::shared_ptr<const PickupOptions> options_;
    Reports reports_;
    Address address_;
    Explain explain_;
    Judge judge_;
    Limits limits_;
    LocalMilters* milters_ = nullptr;
    handoff::Cleaner *inspector_ = nullptr, *forwarder_ = nullptr;
    handoff::Queue& queue_;
    Committed committed_;
    handoff::Cleaner& cleaner_;
    const Clock& clock_;
    observe::Log log_, bounce_log_;
    std::unique_ptr<spool::FileOps> files_;
    std::set<std::string> busy_;
    std::map<std::string, SteadyTime> later_;                // files that could not be handed over, and when they are tried again
    bool again_ = true;
    std::uint64_t picked_up_ = 0;
    Signal wake_;
    Helpers pool_{1};
    TaskGroup tasks_;
};

}  // namespace posthorn::services
