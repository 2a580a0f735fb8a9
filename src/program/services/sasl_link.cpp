#include "services/sasl_link.hpp"

#include "observe/asked.hpp"
#include "receive/params.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

namespace posthorn::services {

namespace {

constexpr std::string_view away = "Connection lost to authentication server";

class LinkedExchange final : public sasl::Exchange {
public:
    LinkedExchange(ipc::Client& client, sasl::asked::Place place, std::uint64_t number, observe::Log log)
        : client_(client), place_(std::move(place)), number_(number), log_(std::move(log))
    {
    }
    ~LinkedExchange() override
    {
        const auto channel = channel_.lock();
        if (!open_ || !channel || !channel->is_open())
            return;
        sasl::asked::End end;
        end.set_exchange(number_);
        (void)channel->post(SaslFrame::end, end);
    }

    awaitable<sasl::Answer> begin(sasl::Question question) override
    {
        sasl::asked::Step step;
        *step.mutable_place() = place_;
        step.set_mechanism(std::move(question.mechanism));
        step.set_has_said(question.initial.has_value());
        if (question.initial)
            step.set_said(*std::move(question.initial));
        step.set_client_address(std::move(question.client_address));
        step.set_client_port(question.client_port);
        step.set_server_address(std::move(question.server_address));
        step.set_server_port(question.server_port);
        step.set_properties(question.wanted.bits());
        const auto channel = co_await client_.wait_channel();
        if (channel)
            channel_ = *channel;
        co_return co_await ask(std::move(step));
    }

    awaitable<sasl::Answer> respond(std::string response) override
    {
        sasl::asked::Step step;
        step.set_has_said(true);
        step.set_said(std::move(response));
        co_return co_await ask(std::move(step));
    }

private:
    /// All of it over one connection: another one's process knows nothing of it.
    awaitable<sasl::Answer> ask(sasl::asked::Step step)
    {
        using Kind = sasl::Answer::Kind;
        step.set_exchange(number_);
        open_ = true;
        const auto channel = channel_.lock();
        if (!channel)
            co_return sasl::Answer(Kind::later, std::string(away));
        observe::Question question(observe::Helper::sasl, "cyrus");
        const auto reply = co_await channel->call<sasl::asked::StepAnswer>(SaslFrame::step, std::move(step));
        question.ended(reply && reply->kind() < static_cast<std::uint32_t>(Kind::later));
        if (!reply)
            co_return sasl::Answer(Kind::later, std::string(away));
        for (const std::string& complaint : reply->complaints())
            log_.warning("{}", complaint);
        const auto kind = reply->kind() <= static_cast<std::uint32_t>(Kind::later) ? static_cast<Kind>(reply->kind()) : Kind::later;
        open_ = kind == Kind::more;
        co_return sasl::Answer(kind, reply->text(), reply->username());
    }

    ipc::Client& client_;
    sasl::asked::Place place_;
    std::uint64_t number_;
    observe::Log log_;
    std::weak_ptr<ipc::Channel> channel_;
    bool open_ = false;
};

/// Where the stock configurations of distributions look, after the folder beside main.cf that Debian's does.
std::string folders_of(const std::string& written, const std::string& config_directory)
{
    return written.empty() ? fmt::format("{}/sasl:/etc/sasl2:/usr/lib/sasl2:/usr/lib64/sasl2", config_directory) : written;
}

}  // namespace

ipc::Client::OnConnect sasl_hello(std::uint64_t generation)
{
    struct Part {
        static awaitable<Result<void>> greet(std::shared_ptr<ipc::Channel> channel, std::uint64_t own)
        {
            sasl::asked::Hello hello;
            hello.set_generation(own);
            CO_TRY(const auto reply, co_await channel->call<sasl::asked::HelloReply>(SaslFrame::hello, hello));
            if (reply.generation() < own)
                co_return Error{"the process of before a reload", "4.3.2"};
            co_return Result<void>{};
        }
    };
    return [generation](std::shared_ptr<ipc::Channel> channel) { return Part::greet(std::move(channel), generation); };
}

sasl::asked::Place sasl_place(const config::Snapshot& snapshot, bool chroot)
{
    sasl::asked::Place place;
    place.set_path(snapshot.get(receive::smtpd_sasl_path));
    place.set_folders(folders_of(snapshot.get(receive::cyrus_sasl_config_path), snapshot.config_directory()));
    place.set_service(snapshot.get(receive::smtpd_sasl_service));
    place.set_realm(snapshot.get(receive::smtpd_sasl_local_domain));
    place.set_chroot(chroot);
    place.set_host(snapshot.text("myhostname"));
    return place;
}

SaslLink::SaslLink(ipc::Client& client, sasl::asked::Place place, std::function<void()> want, const Clock& clock, observe::Log log)
    : client_(client), place_(std::move(place)), want_(std::move(want)), clock_(clock), log_(std::move(log))
{
    want_();
}

awaitable<Result<std::vector<sasl::Offer>>> SaslLink::offers()
{
    if (!known_.empty())
        co_return known_;
    if (clock_.steady() < not_before_)
        co_return Error{"no SASL authentication mechanisms", "4.7.0"};
    sasl::asked::OffersRequest request;
    *request.mutable_place() = place_;
    const auto reply = co_await client_.call<sasl::asked::OffersReply>(SaslFrame::offers, std::move(request));
    if (!reply) {
        want_();
        not_before_ = clock_.steady() + pause;
        co_return Error{fmt::format("SASL: {}", reply.error().text()), "4.7.0"};
    }
    known_.clear();
    for (const auto& offer : reply->offers())
        known_.emplace_back(offer.name(), sasl::Properties::from_bits(static_cast<std::uint8_t>(offer.properties())));
    co_return known_;
}

std::unique_ptr<sasl::Exchange> SaslLink::exchange() { return std::make_unique<LinkedExchange>(client_, place_, ++last_, log_); }

struct SaslDesk::Talks {
    struct One {
        std::shared_ptr<sasl::Cyrus::Talk> talk;
        bool busy = false;
    };
    std::map<std::uint64_t, One> open;
};

Result<std::unique_ptr<SaslDesk>> SaslDesk::open(std::span<const config::Snapshot> configs, const process::Start& start, SaslBounds bounds)
{
    const std::string& queue_directory = start.queue_directory();
    std::unique_ptr<SaslDesk> desk(new SaslDesk(bounds));
    desk->generation_ = start.generation();
    std::vector<sasl::CyrusSite> sites;
    for (const config::Snapshot& config : configs) {
        if (!config.get(receive::smtpd_sasl_auth_enable) || config.get(receive::smtpd_sasl_type) != "cyrus")
            continue;
        for (const bool chroot : {false, true}) {
            const sasl::asked::Place place = sasl_place(config, chroot);
            if (!desk->sites_.try_emplace(place.SerializeAsString(), sites.size()).second)
                continue;
            auto options = sasl::CyrusConfig::find(place.path(), place.folders());
            if (!options)
                return Error{fmt::format("smtpd_sasl_path = {}: {}", place.path(), options.error().text())};
            desk->asks_network_ |= options->asks_network();
            for (const std::string& path : options->paths()) {
                desk->paths_.push_back(path);
                desk->paths_.push_back(queue_directory + path);
            }
            sasl::CyrusSite site;
            site.config = *std::move(options);
            site.service = place.service();
            site.host = place.host();
            site.realm = place.realm();
            site.root = chroot ? queue_directory : "";
            sites.push_back(std::move(site));
        }
    }
    if (sites.empty())
        return desk;                                      // no smtpd asks it any more
    TRY(desk->cyrus_, sasl::Cyrus::open(std::move(sites)));
    return desk;
}

std::vector<std::string> sasl_readable(std::span<const std::string> paths, std::span<const std::string> ours)
{
    const auto real = [](const std::string& path) {
        std::error_code unknown;                          // of what is not there at all: as it is written
        const auto found = std::filesystem::weakly_canonical(path, unknown);
        return (unknown ? std::filesystem::path(path).lexically_normal() : found).string();
    };
    const auto has_ours = [&](const std::string& folder) {
        const std::string within = real(folder) + (real(folder) == "/" ? "" : "/");
        return std::ranges::any_of(ours, [&](const std::string& own) { return (real(own) + "/").starts_with(within); });
    };
    std::vector<std::string> list;
    for (const std::string& path : paths) {
        const std::string folder = path.substr(0, path.rfind('/'));
        if (::access(path.c_str(), F_OK) == 0)
            list.push_back(path);
        else if (!folder.empty() && folder != "/etc" && !has_ours(folder))
            list.push_back(folder);
    }
    return list;
}

Result<std::size_t> SaslDesk::site_of(const sasl::asked::Place& place) const
{
    const auto found = sites_.find(place.SerializeAsString());
    if (found == sites_.end())
        return Error{"no line of master.cf asks Cyrus SASL in this way", "4.3.5"};
    return found->second;
}

ipc::Channel::Handler SaslDesk::handler(TaskGroup& tasks)
{
    return [this, &tasks, talks = std::make_shared<Talks>()](ipc::Incoming incoming) {
        if (incoming.kind == static_cast<ipc::Kind>(SaslFrame::hello)) {
            sasl::asked::HelloReply reply;
            reply.set_generation(generation_);
            return incoming.responder.reply(reply);
        }
        if (incoming.kind == static_cast<ipc::Kind>(SaslFrame::offers)) {
            const auto request = incoming.parse<sasl::asked::OffersRequest>();
            if (!request)
                return incoming.responder.fail(request.error());
            const auto site = site_of(request->place());
            const auto offers = site ? cyrus_->offers(*site) : Result<std::vector<sasl::Offer>>(site.error());
            if (!offers)
                return incoming.responder.fail(offers.error());
            sasl::asked::OffersReply reply;
            for (const sasl::Offer& offer : *offers) {
                reply.add_offers()->set_name(offer.name);
                reply.mutable_offers()->rbegin()->set_properties(offer.has.bits());
            }
            return incoming.responder.reply(reply);
        }
        if (incoming.kind == static_cast<ipc::Kind>(SaslFrame::end)) {
            if (const auto end = incoming.parse<sasl::asked::End>())
                talks->open.erase(end->exchange());
            return;
        }
        if (incoming.kind != static_cast<ipc::Kind>(SaslFrame::step))
            return incoming.responder.fail(Error{"not served here", "5.5.1"});
        auto request = incoming.parse<sasl::asked::Step>();
        if (!request)
            return incoming.responder.fail(request.error());
        tasks.spawn(step(talks, *std::move(request), std::move(incoming.responder)));
    };
}

awaitable<void> SaslDesk::step(std::shared_ptr<Talks> talks, sasl::asked::Step step, ipc::Responder responder)
{
    if (step.has_place()) {
        const auto site = site_of(step.place());
        if (!site)
            co_return responder.fail(site.error());
        if (talks->open.size() >= bounds_.talks || talks->open.contains(step.exchange()))
            co_return responder.fail(Error{"too many exchanges", "4.3.2"});
        talks->open[step.exchange()].talk = cyrus_->talk(*site);
    }
    const auto found = talks->open.find(step.exchange());
    if (found == talks->open.end() || found->second.busy)
        co_return responder.fail(Error{"no such exchange", "4.3.0"});
    if (under_way_ >= bounds_.threads + bounds_.waiting) {
        talks->open.erase(found);
        co_return responder.fail(Error{"too many clients authenticate at once", "4.3.2"});
    }
    found->second.busy = true;
    ++under_way_;
    const std::uint64_t number = step.exchange();
    const bool begins = step.has_place();
    auto work = [talk = found->second.talk, step = std::move(step), begins] {
        if (!begins)
            return talk->respond(step.said());
        sasl::Question question;
        question.mechanism = step.mechanism();
        if (step.has_said())
            question.initial = step.said();
        question.client_address = step.client_address();
        question.client_port = static_cast<std::uint16_t>(step.client_port());
        question.server_address = step.server_address();
        question.server_port = static_cast<std::uint16_t>(step.server_port());
        question.wanted = sasl::Properties::from_bits(static_cast<std::uint8_t>(step.properties()));
        return talk->begin(question);
    };
    sasl::CyrusAnswer said = co_await on_thread(threads_, std::move(work));
    --under_way_;
    if (const auto still = talks->open.find(number); still != talks->open.end()) {
        still->second.busy = false;
        if (said.answer.kind != sasl::Answer::Kind::more)
            talks->open.erase(still);
    }
    sasl::asked::StepAnswer reply;
    reply.set_kind(static_cast<std::uint32_t>(said.answer.kind));
    reply.set_text(said.answer.text);
    reply.set_username(said.answer.username);
    for (std::string& complaint : said.complaints)
        reply.add_complaints(std::move(complaint));
    responder.reply(reply);
}

}  // namespace posthorn::services
