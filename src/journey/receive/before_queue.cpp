#include "receive/before_queue.hpp"

#include "base/strings.hpp"
#include "observe/asked.hpp"
#include "receive/connect_server.hpp"

#include <fmt/format.h>

#include <array>

namespace posthorn::receive {

namespace {

class FilterFile final : public IncomingFile {
public:
    explicit FilterFile(BeforeQueue& to) : filter_(to) {}
    awaitable<Result<void>> append(std::string_view octets) override { co_return co_await filter_.content(octets); }
    awaitable<Result<std::string>> read(std::uint64_t, std::size_t) override { co_return Error{"nothing is kept of it"}; }
    awaitable<Result<void>> give_up_name() override { co_return Result<void>{}; }
    awaitable<Result<void>> sync() override { co_return Result<void>{}; }
    void keep() override {}
    std::string name() const override { return {}; }

private:
    BeforeQueue& filter_;
};

}  // namespace

std::string text_of(const smtp::Reply& reply)
{
    std::string text = reply.wire();
    text.resize(text.size() - 2);
    return text;
}

BeforeQueue::BeforeQueue(Executor executor, const FilterOptions& options, Names& names, smtp::Origin origin, std::string mail, bool requiretls,
                         std::function<void(std::string)> warn)
    : executor_(std::move(executor)), options_(options), names_(names), origin_(std::move(origin)), mail_(std::move(mail)), requiretls_(requiretls),
      warn_(std::move(warn))
{
}

BeforeQueue::~BeforeQueue()
{
    if (!stream_ || lost_ || in_content_)
        return;
    std::string_view quit = "QUIT\r\n";                     // fits into any socket that waits for nothing
    const iovec piece{const_cast<char*>(quit.data()), quit.size()};
    (void)stream_->try_write({&piece, 1});
    (void)stream_->try_flush();
}

void BeforeQueue::lose(const Error& error)
{
    if (std::exchange(lost_, true))
        return;
    const smtp::Reply& begun = parser_.so_far();
    if (begun.garbage != 0)
        warn_(fmt::format("received garbage from proxy {}: {}", options_.name, printable(std::string_view(begun.garbage_line).substr(0, 100))));
    if (error.what() == "conversation timed out")
        warn_(fmt::format("timeout talking to proxy {}", options_.name));
    else
        warn_(fmt::format("lost connection with proxy {}", options_.name));
}

awaitable<bool> BeforeQueue::write(std::string_view octets)
{
    if (lost_)
        co_return false;
    stream_->expires_after(options_.timeout);
    const auto written = co_await stream_->write(octets);
    if (!written)
        lose(written.error());
    co_return written.has_value();
}

bool BeforeQueue::ahead()
{
    std::array<char, 2048> room{};
    if (!lost_ && read_.empty())
        if (const net::Io io = stream_->try_read(room); io.state == net::Io::State::done)
            read_.assign(room.data(), io.octets);
    smtp::ReplyParser parser;
    std::string_view octets = read_;
    const auto whole = parser.feed(octets);
    return whole && whole->has_value();
}

awaitable<bool> BeforeQueue::put(std::string_view octets)
{
    ahead_ = ahead();
    co_return co_await write(octets);
}

awaitable<std::optional<smtp::Reply>> BeforeQueue::reply()
{
    observe::Question question(observe::Helper::proxy_filter, options_.name);
    auto heard = co_await hear();
    question.ended(heard.has_value());
    co_return heard;
}

awaitable<std::optional<smtp::Reply>> BeforeQueue::hear()
{
    std::array<char, 2048> room{};
    stream_->expires_after(options_.timeout);
    while (!lost_) {
        std::string_view octets = read_;
        auto whole = parser_.feed(octets);
        read_.erase(0, read_.size() - octets.size());
        if (!whole) {
            lose(whole.error());
            break;
        }
        if (auto& reply = *whole) {
            if (reply->garbage != 0)
                warn_(fmt::format("received garbage from proxy {}: {}", options_.name,
                                  printable(std::string_view(reply->garbage_line).substr(0, 100))));
            if (std::exchange(ahead_, false) && !reply->transient() && !reply->permanent()) {
                warn_(fmt::format("proxy {} answered what it was not asked: \"{}\"", options_.name, printable(text_of(*reply), true)));
                lost_ = true;
                break;
            }
            co_return std::move(reply);
        }
        const auto got = co_await stream_->read_some(room);
        if (!got)
            lose(got.error());
        else if (*got == 0)
            lose(Error{"lost connection"});
        else
            read_.assign(room.data(), *got);
    }
    co_return std::nullopt;
}

// Refusals of the filter's go to the client; what is no refusal, and yet not what was asked for, is trouble.
std::string BeforeQueue::judged(const Asked& asked, const std::optional<smtp::Reply>& reply)
{
    if (!reply)
        return std::string(trouble);
    if (reply->digit() == asked.wanted)
        return {};
    const std::string text = text_of(*reply);
    warn_(fmt::format("proxy {} rejected \"{}\": \"{}\"", options_.name, printable(asked.command, true), printable(text, true)));
    if (reply->code == 421)
        lost_ = true;                                       // it has gone, and said so
    return reply->transient() || reply->permanent() ? text : std::string(trouble);
}

awaitable<bool> BeforeQueue::open()
{
    opened_ = true;
    observe::Question question(observe::Helper::proxy_filter, options_.name);
    auto connected = co_await connect_server(executor_, options_.server, names_, options_.timeout);
    question.ended(connected.has_value());
    if (!connected) {
        lost_ = true;
        warn_(fmt::format("connect to proxy filter {}: {}", options_.name, in_words_of_errno(connected.error()).what()));
        co_return false;
    }
    stream_ = *std::move(connected);
    if (!judged(Asked("connection request", 2), co_await reply()).empty())
        co_return false;
    const Asked ehlo("EHLO " + options_.ehlo, 2);
    if (!co_await put(ehlo.command + "\r\n"))
        co_return false;
    const auto offered = co_await reply();
    if (!judged(ehlo, offered).empty() || !offered)
        co_return false;
    features_ = smtp::parse_ehlo(*offered);
    co_return true;
}

awaitable<BeforeQueue::Answers> BeforeQueue::ask(std::vector<std::string> recipients, bool data, bool all_or_nothing)
{
    Answers answers;
    const auto fail_with = [&](std::string text) {
        answers.refused = std::move(text);
        return answers;
    };
    std::vector<Asked> dialogue;
    std::size_t first = 0;                                  // of the recipients: what stands before them must succeed
    if (!opened_) {
        if (!co_await open())
            co_return fail_with(std::string(trouble));
        const bool offered = features_.has(smtp::Keyword::requiretls);
        if (requiretls_ && !offered && !options_.requiretls_header) {
            warn_(fmt::format("proxy {} does not offer REQUIRETLS, and requiretls_esmtp_header = no", options_.name));
            co_return fail_with("550 5.7.30 REQUIRETLS support required");                          // RFC 8689 7
        }
        if (requiretls_ && offered)
            mail_ += " REQUIRETLS";
        for (std::string& command : smtp::xforward_commands(origin_, features_.xforward))
            dialogue.emplace_back(std::move(command), 2);
        dialogue.emplace_back(mail_, 2);
        first = dialogue.size();
    }
    for (std::string& command : recipients)
        dialogue.emplace_back(std::move(command), 2);
    if (data)
        dialogue.emplace_back("DATA", 3);

    const bool together = features_.has(smtp::Keyword::pipelining);
    if (together) {
        std::string group;
        for (const Asked& asked : dialogue)
            group += asked.command + "\r\n";
        (void)co_await put(group);
    }
    bool refused = false;
    for (std::size_t at = 0; at < dialogue.size(); ++at) {
        const Asked& asked = dialogue[at];
        const bool is_data = asked.wanted == 3;
        if (is_data && !any_recipient_ && !together)
            break;
        if (!together)
            (void)co_await put(asked.command + "\r\n");
        const auto replied = lost_ ? std::nullopt : co_await reply();
        if (is_data && (!any_recipient_ || (all_or_nothing && refused))) {
            // Sent with recipients that were refused: whatever it says is of no use.
            in_content_ = replied && replied->intermediate();
            answers.data = std::string(trouble);
            continue;
        }
        std::string text = judged(asked, replied);
        if (at < first) {
            if (!text.empty()) {                            // what was sent behind it is void, and the content may have been asked for
                lost_ = lost_ || (together && data);
                co_return fail_with(at + 1 == first ? std::move(text) : std::string(trouble));
            }
        } else if (is_data) {
            in_content_ = text.empty();
            answers.data = std::move(text);
        } else {
            any_recipient_ = any_recipient_ || text.empty();
            refused = refused || !text.empty();
            answers.recipients.push_back(std::move(text));
            if (all_or_nothing && !together && !answers.recipients.back().empty())
                break;
        }
    }
    co_return answers;
}

awaitable<Result<void>> BeforeQueue::content(std::string_view octets)
{
    std::string out;
    writer_.feed(octets, out);
    if (!co_await write(out))
        co_return Error{"lost connection", "4.3.0"};
    co_return Result<void>{};
}

awaitable<std::string> BeforeQueue::end(std::string_view octets)
{
    std::string out;
    writer_.feed(octets, out);
    writer_.finish(out);
    ahead_ = ahead();
    if (!ahead_) {                                          // else it shall not take for whole what it has not read
        if (!co_await write(out))
            co_return std::string(trouble);
        in_content_ = false;
    }
    const auto replied = co_await reply();
    if (!replied || (!replied->positive() && !replied->transient() && !replied->permanent()))
        co_return std::string(trouble);
    if (replied->code == 421)
        lost_ = true;
    co_return text_of(*replied);
}

awaitable<Result<std::unique_ptr<IncomingFile>>> BeforeQueue::create(std::string) { co_return std::make_unique<FilterFile>(*this); }

}  // namespace posthorn::receive
