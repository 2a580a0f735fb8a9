#include "inject/desk.hpp"

#include "base/json.hpp"
#include "base/strings.hpp"
#include "message/header.hpp"

#include <boost/json/memory_resource.hpp>

#include <fmt/format.h>

#include <algorithm>
#include <deque>

namespace posthorn::inject {

namespace {

constexpr std::string_view place_of_v1 = "/api/inject/v1";
constexpr std::chrono::minutes longest_wait{15};               // for a reply: longer than a session waits for anybody
constexpr std::size_t counted_octets = 64 * 1024;              // memory is asked for in such steps

/// What JSON becomes in memory, counted as it grows: a short text can become much.
class CountedMemory final : public boost::json::memory_resource {
public:
    explicit CountedMemory(receive::Ceiling::Share share) : share_(std::move(share)) {}

private:
    /// JSON needs no more than what is aligned for everything.
    void* do_allocate(std::size_t octets, std::size_t) override
    {
        if (held_ + octets > share_.held() && !share_.set((held_ + octets + counted_octets) / counted_octets * counted_octets))
            throw std::bad_alloc();
        void* const got = ::operator new(octets);
        held_ += octets;
        return got;
    }
    void do_deallocate(void* at, std::size_t octets, std::size_t) override
    {
        held_ -= octets;
        ::operator delete(at, octets);
    }
    bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

    receive::Ceiling::Share share_;
    std::size_t held_ = 0;
};

class Share final : public http::Weight {
public:
    explicit Share(receive::Ceiling::Share share) : share_(std::move(share)) {}
    bool set(std::size_t octets) override { return share_.set(octets); }

private:
    receive::Ceiling::Share share_;
};

Answer come_again(std::string_view why)
{
    Answer answer = http::error_answer(503, why);
    answer.fields.emplace_back("Retry-After", "1");
    return answer;
}

Answer who_are_you(std::string_view why)
{
    Answer answer = http::error_answer(401, why);
    answer.fields.emplace_back("WWW-Authenticate", "Basic realm=\"inject\", charset=\"UTF-8\"");
    return answer;
}

std::string_view path_of(const http::Request& request) { return std::string_view(request.target).substr(0, request.target.find('?')); }

/// "Basic" of RFC 7617; none: it is none. Empty names are no login.
std::optional<Login> login_in(std::string_view authorization)
{
    constexpr std::string_view scheme = "basic ";
    if (!istarts_with(authorization, scheme))
        return {};
    const auto decoded = base64_decode(trim(authorization.substr(scheme.size())));
    if (!decoded)
        return Login{};
    const auto colon = decoded->find(':');
    if (colon == decoded->npos || colon == 0 || decoded->find('\0') != decoded->npos)
        return Login{};
    return Login{decoded->substr(0, colon), decoded->substr(colon + 1)};
}

std::string own_name(const net::Endpoint& client)
{
    const std::string address = client.is_unix() ? "127.0.0.1" : client.ip.text();
    return address.find(':') == address.npos ? fmt::format("[{}]", address) : fmt::format("[IPv6:{}]", address);
}

std::string json_list(const std::vector<std::string>& texts)
{
    std::string list = "[";
    for (const std::string& text : texts)
        list += (list.size() > 1 ? ", " : "") + json_text(text);
    return list + "]";
}

}  // namespace

/// A mail with the places of its recipients in the request.
struct Desk::Item {
    Mail mail;
    std::vector<std::size_t> of;
};

struct Desk::Run {
    Run(Request& from, const Composer& with, std::optional<Login> by, const net::Stream& stream)
        : request(from), composer(with), login(std::move(by)), client(stream.peer()), local(stream.local()), replies(from.recipients.size())
    {
    }
    void say(const Item& item, const smtp::Reply& reply)
    {
        for (const std::size_t at : item.of)
            replies[at] = reply;
    }
    Request& request;
    const Composer& composer;
    std::optional<Login> login;
    net::Endpoint client, local;
    std::size_t next = 0, workers = 0;                         // recipient; sessions that have not found an end
    std::deque<Item> returned;
    std::vector<smtp::Reply> replies;                          // code 0: not yet
    std::optional<smtp::Reply> closed;                         // why there is no session
};

/// One of the places that sessions have.
struct Desk::Place {
    explicit Place(Desk& desk) : house(desk) { ++house.places_; }
    Place(Place&&) = delete;
    ~Place()
    {
        --house.places_;
        house.place_free_.notify_all();
    }
    Desk& house;
};

Desk::Desk(Executor executor, receive::Server& sessions, bool token_needed, observe::Log log)
    : executor_(executor), sessions_(sessions), token_needed_(token_needed), log_(std::move(log)), place_free_(executor), running_(executor)
{
}

Desk::~Desk() = default;

std::unique_ptr<http::Weight> Desk::weigh() { return std::make_unique<Share>(sessions_.share()); }

RenderLimits Desk::limits() const
{
    const std::uint64_t most = sessions_.options().message_size_limit;
    return {.octets = static_cast<std::size_t>(most != 0 ? most : sessions_.options().memory_limit / 4)};
}

Answer Desk::refused(const http::Request& request, const net::Stream& stream, Answer answer) const
{
    log_.warning("client [{}]: {}: refused: {}", http::name_of(stream.peer()), printable(request.target.substr(0, 100), true),
                 printable(answer.body.substr(0, 200), true));
    return answer;
}

std::optional<Answer> Desk::refusal(const http::Request& request, const net::Stream& stream)
{
    if (path_of(request) != place_of_v1)
        return http::error_answer(404, fmt::format("there is nothing at this path; mail is injected by POST {}", place_of_v1));
    if (request.method != "POST") {
        Answer answer = http::error_answer(405, "this path takes POST");
        answer.fields.emplace_back("Allow", "POST");
        return answer;
    }
    const auto login = login_in(request.authorization);
    if (login && login->user.empty())
        return refused(request, stream, who_are_you("this is no name with a password"));
    if (login && !sessions_.options().sasl.enable)
        return refused(request, stream, who_are_you("no password can be proved here: smtpd_sasl_auth_enable is off"));
    if (!login && token_needed_)
        if (auto wrong = access_->refuses_token(request))
            return refused(request, stream, *std::move(wrong));
    // A page in a browser may send what it likes, but not this type without asking first.
    if (!iequals(trim(std::string_view(request.content_type).substr(0, request.content_type.find(';'))), "application/json"))
        return refused(request, stream, http::error_answer(415, "Content-Type: application/json is needed"));
    if (!request.content_encoding.empty() && !iequals(request.content_encoding, "identity"))
        return refused(request, stream, http::error_answer(415, "a body with a Content-Encoding is not taken"));
    return {};
}

awaitable<Answer> Desk::answer(http::Request request, const net::Stream& stream, http::Weight* weight)
{
    if (closing_)
        co_return come_again("the service is shutting down");
    auto held = sessions_.share();
    const auto memory = boost::json::make_shared_resource<CountedMemory>(sessions_.share());
    auto parsed = parse_request(request.body, memory);
    if (!parsed)
        co_return refused(request, stream,
                          parsed.error().status() == "4.3.1" ? come_again(parsed.error().text()) : http::error_answer(400, parsed.error().text()));
    // Its texts, and the attachments once more as they go.
    if (!held.set(request.body.size() * 2 + parsed->recipients.size() * (sizeof(Recipient) + sizeof(smtp::Reply))))
        co_return refused(request, stream, come_again("there is no memory left for this request"));
    std::string().swap(request.body);
    if (weight)
        (void)weight->set(0);
    const auto composer = Composer::make(*parsed, limits());
    if (!composer)
        co_return refused(request, stream, http::error_answer(400, composer.error().text()));
    co_return co_await inject(*parsed, *composer, login_in(request.authorization), stream);
}

awaitable<Answer> Desk::inject(Request& request, const Composer& composer, std::optional<Login> login, const net::Stream& stream)
{
    Run run(request, composer, std::move(login), stream);
    if (!request.recipients.empty()) {
        auto first_place = co_await place();
        auto first = first_place ? co_await open(run) : nullptr;
        if (!first) {
            const smtp::Reply why = run.closed.value_or(smtp::Reply(421, "4.3.0", "no session"));
            if (run.login && why.permanent()) {
                co_await sleep_for(sessions_.options().error_sleep_time);                      // who guesses passwords has time
                co_return who_are_you(why.logged());
            }
            co_return why.permanent() ? http::error_answer(403, why.logged()) : come_again(why.logged());
        }
        TaskGroup workers(executor_);
        const std::size_t mails = composer.same_for_all() ? request.recipients.size() / group_limit : request.recipients.size();
        run.workers = 1;
        workers.spawn(work(run, std::move(first_place), std::move(first)));
        for (std::size_t more = 1; more < sessions_at_once && more * mails_at_once < mails; ++more, ++run.workers)
            workers.spawn(work(run, nullptr, nullptr));
        while (workers.size() > 0)
            co_await workers.drained();
    }
    co_return conclude(run);
}

/// A session, begun. None: run.closed says why.
awaitable<std::unique_ptr<Dialogue>> Desk::open(Run& run)
{
    net::MemoryOptions options;
    options.keep_segments = options.remember = false;
    options.first = run.client;
    options.second = run.local;
    auto [outside, inside] = net::memory_pair(executor_, std::move(options));
    running_.spawn(sessions_.serve(std::move(inside)));
    auto dialogue = std::make_unique<Dialogue>(std::move(outside), longest_wait);
    run.closed = co_await dialogue->open(own_name(run.client), run.login);
    if (!run.closed)
        co_return dialogue;
    co_await dialogue->quit();
    co_return nullptr;
}

/// The next mail; none: nothing is left.
std::optional<Desk::Item> Desk::next_item(Run& run)
{
    if (!run.returned.empty()) {
        Item item = std::move(run.returned.front());
        run.returned.pop_front();
        return item;
    }
    Item item;
    item.mail.sender = run.request.sender.quoted();
    item.mail.utf8 = run.request.sender.internationalized();
    const std::size_t most = run.composer.same_for_all() ? std::clamp<std::size_t>(sessions_.options().recipient_limit, 1, group_limit) : 1;
    for (; run.next < run.request.recipients.size() && item.of.size() < most; ++run.next) {
        const Recipient& recipient = run.request.recipients[run.next];
        if (!recipient.mailbox) {
            run.replies[run.next] = smtp::Reply(501, "5.1.3", "Bad recipient address syntax");
            continue;
        }
        if (item.of.empty()) {
            auto content = run.composer.compose(recipient);
            if (!content) {
                run.replies[run.next] = smtp::Reply(554, "5.6.0", content.error().text());
                continue;
            }
            item.mail.content = *std::move(content);
        }
        item.mail.recipients.push_back(recipient.mailbox->quoted());
        item.mail.utf8 = item.mail.utf8 || recipient.mailbox->internationalized();
        item.of.push_back(run.next);
    }
    if (item.of.empty())
        return {};
    item.mail.utf8 = item.mail.utf8 || message::header_has_8bit(item.mail.content);
    return item;
}

/// What goes in one write: as much as is sensible, and has room in memory.
std::vector<Desk::Item> Desk::take(Run& run, receive::Ceiling::Share& share)
{
    std::vector<Item> items;
    std::size_t octets = 0;
    while (items.size() < mails_at_once && octets < octets_at_once) {
        auto item = next_item(run);
        if (!item)
            break;
        octets += item->mail.content.size();
        if (!share.set(octets * 2)) {                          // once as it is, once as it goes
            if (!items.empty()) {
                run.returned.push_front(*std::move(item));
                break;
            }
            octets = 0;
            run.say(*item, smtp::Reply(452, "4.3.1", "Insufficient system memory"));
            continue;
        }
        items.push_back(*std::move(item));
    }
    return items;
}

/// Waits for one. None: who waits is asked to end.
awaitable<std::unique_ptr<Desk::Place>> Desk::place()
{
    const std::size_t most = sessions_.options().transaction_limit;
    while (most != 0 && places_ >= most) {
        if (co_await cancelled())
            co_return nullptr;
        co_await place_free_.wait();
    }
    co_return std::make_unique<Place>(*this);
}

/// What became of each: a reply for each recipient, or another turn.
void Desk::settle(Run& run, std::vector<Item>& items, std::vector<Mail>& mails, const std::optional<smtp::Reply>& closed)
{
    // A session that ended behind some mails is followed by another one; one that takes none at all has said why.
    const bool progress = std::ranges::any_of(mails, &Mail::tried);
    for (std::size_t at = 0; at < items.size(); ++at) {
        Item& item = items[at];
        item.mail = std::move(mails[at]);
        if (item.mail.tried) {
            for (std::size_t own = 0; own < item.of.size(); ++own)
                run.replies[item.of[own]] = std::move(item.mail.replies[own]);
        } else if (progress) {
            run.returned.push_back(std::move(item));
        } else if (closed) {
            run.say(item, *closed);
        } else {
            run.say(item, item.mail.replies.empty() ? smtp::Reply(421, "4.3.2", "the session ended") : item.mail.replies.front());
        }
    }
}

awaitable<void> Desk::work(Run& run, std::unique_ptr<Place> place, std::unique_ptr<Dialogue> dialogue)
{
    if (!place)
        place = co_await this->place();
    auto share = sessions_.share();
    for (;;) {
        std::vector<Item> items = take(run, share);
        if (items.empty())
            break;
        if (!dialogue)
            dialogue = co_await open(run);
        if (!dialogue && run.workers > 1) {                    // smtpd_client_connection_count_limit: others have theirs, and do it
            std::ranges::move(items, std::back_inserter(run.returned));
            break;
        }
        std::vector<Mail> mails;
        for (Item& item : items)
            mails.push_back(std::move(item.mail));
        const bool goes_on = dialogue && co_await dialogue->send(mails);
        settle(run, items, mails, dialogue ? std::nullopt : run.closed);
        if (dialogue && !goes_on) {
            co_await dialogue->quit();
            dialogue.reset();
        }
    }
    --run.workers;
    if (dialogue)
        co_await dialogue->quit();
}

Answer Desk::conclude(const Run& run)
{
    std::vector<std::string> failed, errors;
    for (std::size_t at = 0; at < run.replies.size(); ++at) {
        if (run.replies[at].positive())
            continue;
        failed.push_back(run.request.recipients[at].email);
        errors.push_back(fmt::format("{}: {}", run.request.recipients[at].email, run.replies[at].logged()));
    }
    const std::size_t taken = run.replies.size() - failed.size();
    if (taken > 0)
        recipients_.add({"taken"}, taken);
    if (!failed.empty())
        recipients_.add({"refused"}, failed.size());
    log_.info("client [{}]: injected: from=<{}>, nrcpt={}, accepted={}, refused={}", http::name_of(run.client),
              printable(run.request.sender.text(), true), run.replies.size(), taken, failed.size());
    return {200, "application/json",
            fmt::format("{{\"success_count\": {}, \"fail_count\": {}, \"failed_recipients\": {}, \"errors\": {}}}\n", taken, failed.size(),
                        json_list(failed), json_list(errors))};
}

}  // namespace posthorn::inject
