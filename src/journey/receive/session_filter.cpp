// A filter before the queue: its answers are the client's. What a client sends in a group goes to the filter in a group.
#include "base/strings.hpp"
#include "receive/session.hpp"

#include <fmt/format.h>

namespace posthorn::receive {

namespace {

constexpr std::size_t piece = 128 * 1024;                   // of a file, on its way to the filter

}  // namespace

/// speed_adjust: the message is taken as a whole before the filter hears of it.
bool Session::whole_first() const { return core_.options.filter && core_.options.filter->whole_first; }

void Session::log_client(std::string_view queue_id) { core_.outside.log.info("{}: client={}", queue_id, origin_for_log()); }

/// Of whom the filter is told; who spoke for another is not mixed with it.
smtp::Origin Session::origin(bool local) const
{
    if (forwarded_)
        return *forwarded_;
    smtp::Origin client;
    client.name = facts_.client_name == "unknown" ? "" : facts_.client_name;
    client.address = facts_.client_address;
    client.port = client_port_ == 0 ? "" : std::to_string(client_port_);
    client.helo = facts_.helo.value_or("");
    client.protocol = esmtp_ ? "ESMTP" : "SMTP";
    client.source = local ? "LOCAL" : "REMOTE";
    return client;
}

/// A RCPT that we accept. Its reply has its place in out_ and comes with the filter's.
bool Session::ask_filter_for(std::string command, std::string address)
{
    Transaction& transaction = *transaction_;
    if (whole_first()) {
        if (transaction.kept.empty())
            log_client("NOQUEUE");
        transaction.kept.push_back(std::move(command));
        say("250 2.1.5 Ok");
        return true;
    }
    if (transaction.asked.empty())
        transaction.asked_since = std::chrono::steady_clock::now();
    transaction.asked.push_back({out_.size(), std::move(address), std::move(command)});
    return true;
}

awaitable<void> Session::open_filter()
{
    const auto local = forwarded_ ? Result<bool>(false) : co_await core_.outside.cleaner.local_client(transaction_->envelope.client());
    if (!local)
        core_.outside.log.warning("{}", local.error().text());
    if (const auto& options = core_.options.filter)
        transaction_->filter =
            std::make_unique<BeforeQueue>(core_.executor, *options, core_.outside.names, origin(local && *local), transaction_->mail_command,
                                          transaction_->envelope.requiretls(), [this](std::string text) { core_.outside.log.warning("{}", text); });
}

/// Tells the filter of the recipients that wait, and of DATA: none where there was no accepted one to ask for, empty for 354, else what the client is to
/// hear. The replies to the recipients are in out_ then.
awaitable<std::optional<std::string>> Session::ask_filter(bool data)
{
    Transaction& transaction = *transaction_;
    const auto asked = std::exchange(transaction.asked, {});
    std::vector<std::string> commands;
    for (const Transaction::Asked& one : asked)
        commands.push_back(one.command);
    const bool opens = !transaction.filter;
    if (opens)
        co_await open_filter();
    auto answers = co_await transaction.filter->ask(std::move(commands), data);
    if (answers.refused)
        transaction.filter.reset();  // the next RCPT tries anew
    else if (opens)
        log_client("NOQUEUE");

    // The replies that wait get theirs in between.
    const std::string said = std::exchange(out_, {});
    const auto rejects = std::exchange(rejects_, {});
    std::size_t done = 0, reject = 0;
    const auto keep_until = [&](std::size_t end) {
        for (; reject < rejects.size() && rejects[reject].first < end; ++reject)
            rejects_.emplace_back(rejects[reject].first - done + out_.size(), rejects[reject].second);
        out_ += std::string_view(said).substr(done, end - done);
        done = end;
    };
    for (std::size_t number = 0; number < asked.size(); ++number) {
        keep_until(asked[number].at);
        const std::string& refusal = answers.refused ? *answers.refused : answers.recipients[number];
        if (refusal.empty()) {
            say("250 2.1.5 Ok");
            continue;
        }
        say(refusal);
        tally_.failed(smtp::find_verb("RCPT"));
        ++errors_;
        --facts_.recipients;
        auto& recipients = *transaction.envelope.mutable_recipients();
        for (int at = recipients.size() - 1; at >= 0; --at)
            if (recipients[at].address() == asked[number].address) {
                recipients.DeleteSubrange(at, 1);
                break;
            }
    }
    keep_until(said.size());
    if (data && answers.data && facts_.recipients == 0)
        transaction.filter.reset();  // it may wait for a content that nobody gets
    co_return answers.refused ? answers.refused : std::move(answers.data);
}

awaitable<std::string> Session::pass_on(Content& content)
{
    BeforeQueue& filter = *transaction_->filter;
    if (IncomingFile* const file = content.file(); file && whole_first()) {
        for (std::uint64_t at = 0;;) {
            const auto octets = co_await file->read(at, piece);
            if (!octets) {
                core_.outside.log.warning("read queue file: {}", octets.error().text());
                co_return std::string(BeforeQueue::trouble);
            }
            if (octets->empty())
                break;
            at += octets->size();
            if (!co_await filter.content(*octets))
                co_return std::string(BeforeQueue::trouble);
        }
    }
    co_return co_await filter.end(content.take_rest());
}

// Everything at once, all of it or nothing (speed_adjust).
awaitable<std::string> Session::pass_on_whole(Content& content)
{
    co_await open_filter();
    const auto answers = co_await transaction_->filter->ask(std::exchange(transaction_->kept, {}), true, true);
    if (answers.refused)
        co_return *answers.refused;
    for (const std::string& refusal : answers.recipients)
        if (!refusal.empty())
            co_return refusal;
    if (!answers.data || !answers.data->empty())
        co_return answers.data.value_or(std::string(BeforeQueue::trouble));
    co_return co_await pass_on(content);
}

// The message is whole. The filter's word on it is ours; nothing of it is kept here, whatever it is.
awaitable<bool> Session::accept_by_filter(std::unique_ptr<Content> content)
{
    co_await content->finish();
    if (const auto& refusal = content->refusal(); refusal && (whole_first() || !transaction_->filter->lost())) {
        warn_of(*content);
        refuse_content(*refusal);
        end_transaction();
        co_return false;
    }
    std::string reply(BeforeQueue::trouble);
    if (!content->refusal()) {
        policy::Judge judge(core_.law, facts_, transaction_->effects, *this);
        auto ruling = co_await judge.end_of_data();
        if (ruling.refused()) {
            obey(std::move(ruling));
            end_transaction();
            co_return false;
        }
        reply = whole_first() ? co_await pass_on_whole(*content) : co_await pass_on(*content);
    }
    const bool taken = reply.starts_with('2');
    const auto& recipients = transaction_->envelope.recipients();
    const std::string about = mail_for_log(recipients.empty() ? nullptr : &recipients[0].address());
    core_.outside.log.info("{}", printable(fmt::format("proxy-{}: END-OF-MESSAGE: {};{}", taken ? "accept" : "reject", reply, about), true));
    end_transaction();
    if (taken) {
        ++core_.accepted;
        if (record_)
            record_->forgive();
        errors_ = junk_ = 0;
    }
    say(reply);
    co_return taken;
}

}  // namespace posthorn::receive
