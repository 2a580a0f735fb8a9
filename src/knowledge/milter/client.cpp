#include "milter/client.hpp"

#include "base/strings.hpp"
#include "message/header.hpp"
#include "observe/asked.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>

namespace posthorn::milter {

namespace {

constexpr std::size_t unsent_octets = 32 * 1024;                  // of what is not answered, before it is sent
constexpr std::size_t most_change_octets = 16 << 20, most_changes = 10'000;
constexpr std::chrono::hours longest_event{1};
constexpr std::string_view later = "451 4.7.1 Service unavailable - try again later";

bool of_session(Event event) { return event == Event::connect || event == Event::helo; }

/// Tools know what went wrong by the words of the C library.
std::string words_of(const Error& error)
{
    if (error.what() == "lost connection")
        return "Connection reset by peer";
    return error.what() == "conversation timed out" ? "Connection timed out" : error.text();
}

std::string_view name_of_code(char code) { return name_of_answer(code).value_or("unknown"); }

}  // namespace

bool Client::wants(Stage stage, std::initializer_list<std::string_view> bare_names) const
{
    return stream_ && !is_over() && names_one(lists().of(stage), bare_names);
}

Verdict Client::fail(const std::string& warning, bool misused)
{
    around_.warn(warning);
    if (stream_)
        stream_->close();
    stream_.reset();
    out_ = {};
    packets_ = {};
    state_ = State::failed;
    begun_ = false;
    switch (spec_.settings.default_action) {
    case DefaultAction::accept: standing_ = Verdict(); break;
    case DefaultAction::quarantine: standing_ = Verdict(Verdict::Kind::hold); break;
    case DefaultAction::reject: standing_ = Verdict(Verdict::Kind::reply, "550 5.5.0 Service unavailable"); break;
    case DefaultAction::tempfail: standing_ = Verdict(Verdict::Kind::reply, std::string(later)); break;
    case DefaultAction::shutdown: standing_ = Verdict(Verdict::Kind::reply, "421 4.7.1 Service unavailable - try again later"); break;
    }
    if (misused && standing_.kind == Verdict::Kind::reply)
        standing_.reply = "451 4.3.5 Server configuration problem - try again later";
    return standing_;
}

awaitable<Result<void>> Client::flush(Event event)
{
    if (out_.empty())
        co_return Result<void>{};
    const std::string octets = std::exchange(out_, {});
    stream_->expires_after(patience_);
    if (const auto written = co_await stream_->write(octets); !written)
        co_return Error{fmt::format("milter {}: can't send {}: {}", spec_.name, name_of(event), words_of(written.error()))};
    co_return Result<void>{};
}

awaitable<Result<std::pair<char, std::string>>> Client::receive(Event event)
{
    std::string room;
    for (;;) {
        auto next = packets_.next();
        if (!next)
            co_return Error{fmt::format("milter {}: {}", spec_.name, next.error().text())};
        if (auto& found = *next)
            co_return *std::move(found);
        room.resize(8192);
        stream_->expires_at(std::min(std::chrono::steady_clock::now() + patience_, last_moment_));
        const auto got = co_await stream_->read_some(room);
        if (!got || *got == 0)
            co_return Error{fmt::format("milter {}: can't read {} reply packet {}: {}", spec_.name, name_of(event),
                                        packets_.empty() ? "header" : "data", got ? "Connection closed by peer" : words_of(got.error()))};
        packets_.feed(std::string_view(room).substr(0, *got));
    }
}

awaitable<void> Client::open()
{
    observe::Question question(observe::Helper::milter, spec_.name);
    co_await negotiate();
    question.ended(state_ == State::ready);
}

awaitable<void> Client::negotiate()
{
    const Settings& settings = spec_.settings;
    patience_ = settings.command_timeout;
    last_moment_ = std::chrono::steady_clock::now() + longest_event;
    auto opened = co_await around_.connect(spec_);
    if (!opened) {
        fail(fmt::format("connect to Milter service {}: {}", spec_.name, words_of(opened.error())));
        co_return;
    }
    stream_ = *std::move(opened);
    const std::uint32_t known = steps_of(settings.version) | (settings.mute_header ? step::mute_header : 0);
    std::string data;
    for (const std::uint32_t number : {settings.version, action::all, known})
        append_number(data, number);
    out_ = packet(Event::negotiate, data);
    if (const auto sent = co_await flush(Event::negotiate); !sent) {
        fail(sent.error().text());
        co_return;
    }
    const auto answer = co_await receive(Event::negotiate);
    if (!answer) {
        fail(answer.error().text());
        co_return;
    }
    if (answer->first != static_cast<char>(Event::negotiate)) {
        fail(fmt::format("milter {}: unexpected reply \"{}\" in initial handshake", spec_.name, printable(std::string_view(&answer->first, 1))));
        co_return;
    }
    const auto agreed = parse_negotiation(answer->second);
    if (!agreed) {
        fail(fmt::format("milter {}: {}", spec_.name, agreed.error().text()));
        co_return;
    }
    if (agreed->version > settings.version) {
        fail(fmt::format("milter {}: protocol version {} conflict with MTA protocol version {}", spec_.name, agreed->version, settings.version));
        co_return;
    }
    if ((agreed->actions & ~action::all) != 0) {
        fail(fmt::format("milter {}: request mask 0x{:x} conflict with MTA request mask 0x{:x}", spec_.name, agreed->actions, action::all));
        co_return;
    }
    steps_ = agreed->steps;
    not_known_ = step::not_sent & ~(known & steps_of(agreed->version));
    if (!agreed->macros.empty()) {
        own_lists_ = std::make_unique<MacroLists>(*around_.lists);    // stages that it says nothing of keep what they have
        for (const auto& [number, list] : agreed->macros) {
            if (const auto stage = stage_of_list(number))
                own_lists_->of(*stage) = parse_macro_list(list);
            else
                around_.warn(fmt::format("milter {}: ignoring unknown macro type {}", spec_.name, number));
        }
    }
    state_ = State::ready;
}

awaitable<Verdict> Client::tell(Telling telling, std::string data, Mail* mail)
{
    if ((not_known_ & telling.not_told) != 0)
        co_return standing_;
    if (skipped_ == telling.event)
        co_return standing_;
    skipped_.reset();
    if (telling.with_macros)
        out_ += packet(Event::macros, static_cast<char>(telling.event) + macro_data(lists().of(telling.stage), around_.values, *around_.defaults));
    const bool left_out = (steps_ & telling.not_told) != 0;
    if (!left_out)
        out_ += packet(telling.event, data);
    const bool mute = left_out || (steps_ & telling.mute) != 0;
    if (mute && out_.size() < unsent_octets)
        co_return standing_;
    observe::Question question(observe::Helper::milter, spec_.name);   // where nothing is answered it shows in the log alone, as open for long
    if (const auto sent = co_await flush(telling.event); !sent) {
        question.ended(false);
        co_return fail(sent.error().text());
    }
    if (mute)
        co_return standing_;
    last_moment_ = std::chrono::steady_clock::now() + std::max<std::chrono::seconds>(longest_event, patience_);
    Verdict verdict = co_await hear(telling.event, mail);
    question.ended(state_ != State::failed);
    co_return verdict;
}

// Until the filter has decided. Before that it may ask for changes, at the end of a message.
awaitable<Verdict> Client::hear(Event event, Mail* mail)
{
    std::string failed_change;
    for (;;) {
        const auto answer = co_await receive(event);
        if (!answer)
            co_return fail(answer.error().text());
        const auto& [code, data] = *answer;
        const auto response = parse_response(code, data);
        if (!response)
            co_return fail(fmt::format("milter {}: {}", spec_.name, response.error().what()), response.error().status() == misuse);
        switch (response->answer) {
        case Answer::progress: continue;
        case Answer::quarantine: standing_ = Verdict(Verdict::Kind::hold); continue;
        case Answer::add_header:
        case Answer::insert_header:
        case Answer::change_header:
        case Answer::replace_body:
        case Answer::change_sender:
        case Answer::add_recipient:
        case Answer::add_recipient_with:
        case Answer::delete_recipient: {
            if (mail == nullptr)
                co_return fail(
                    fmt::format("milter {}: unexpected filter response {} after event {}", spec_.name, name_of_code(code), name_of(event)));
            if (response->answer != Answer::replace_body) {
                change_octets_ += data.size() + 64;
                ++changes_;
            }
            if (change_octets_ > most_change_octets || changes_ > most_changes)
                co_return fail(fmt::format("milter {}: too many changes of one message", spec_.name), true);
            // The filter goes on until it has decided, so that it stays in step; a change that cannot be made refuses the message then.
            if (const auto done = mail->apply(*response, (steps_ & step::leading_space) == 0); !done && failed_change.empty()) {
                around_.warn(fmt::format("milter {}: {}", spec_.name, done.error().text()));
                failed_change = done.error().status() == "4.3.1" ? "452 4.3.1 Insufficient system storage" : "552 5.3.4 Error: message file too big";
            }
            continue;
        }
        default: break;
        }
        if (event == Event::end_of_body)
            begun_ = false;
        auto decided = decide(event, *response);
        if (!failed_change.empty() && (!decided || decided->kind != Verdict::Kind::reply))
            co_return Verdict(Verdict::Kind::reply, failed_change);
        co_return decided ? *std::move(decided) : standing_;
    }
}

/// None: what stands, stands.
std::optional<Verdict> Client::decide(Event event, const Response& response)
{
    const auto refuse = [&](std::string reply) {
        Verdict verdict(Verdict::Kind::reply, std::move(reply));
        if (of_session(event)) {
            state_ = State::session_refused;
            standing_ = verdict;
        }
        return verdict;
    };
    switch (response.answer) {
    case Answer::accept: state_ = of_session(event) ? State::session_accepted : State::message_accepted; return std::nullopt;
    case Answer::discard:
        if (of_session(event)) {
            around_.warn(fmt::format("milter {}: DISCARD action is not allowed for connect or helo", spec_.name));
            return std::nullopt;
        }
        state_ = State::message_accepted;
        return Verdict(Verdict::Kind::discard);
    case Answer::reject: return refuse("550 5.7.1 Command rejected");
    case Answer::tempfail: return refuse(std::string(later));
    case Answer::reply: return refuse(response.first);
    case Answer::shutdown:
    case Answer::connection_failed:
        state_ = State::session_refused;
        standing_ = Verdict(Verdict::Kind::shutdown);
        return standing_;
    case Answer::skip: skipped_ = event; return std::nullopt;
    default: return std::nullopt;                                 // go_on
    }
}

awaitable<Verdict> Client::connect(Peer peer)
{
    if (state_ != State::ready)
        co_return standing_;
    state_ = State::envelope;
    std::string data;
    append_text(data, peer.name == "unknown" ? fmt::format("[{}]", peer.address) : peer.name);
    data += peer.v6 ? '6' : '4';
    append_port(data, peer.port);
    append_text(data, peer.address);
    co_return co_await tell({Event::connect, step::no_connect, step::mute_connect, Stage::connect}, std::move(data));
}

awaitable<Verdict> Client::helo(std::string name)
{
    if (is_over() || state_ == State::closed)
        co_return standing_;
    std::string data;
    append_text(data, name);
    co_return co_await tell({Event::helo, step::no_helo, step::mute_helo, Stage::helo}, std::move(data));
}

namespace {

std::string joined(const std::vector<std::string>& words)
{
    std::string data;
    for (const std::string& word : words)
        append_text(data, word);
    return data;
}

}  // namespace

awaitable<Verdict> Client::mail(std::vector<std::string> words)
{
    if (is_over() || state_ == State::closed)
        co_return standing_;
    abort();
    state_ = State::envelope;
    standing_ = Verdict();
    change_octets_ = changes_ = 0;
    patience_ = spec_.settings.command_timeout;
    begun_ = true;
    co_return co_await tell({Event::mail, step::no_mail, step::mute_mail, Stage::mail}, joined(words));
}

awaitable<Verdict> Client::recipient(std::vector<std::string> words)
{
    if (state_ != State::envelope)
        co_return standing_;
    co_return co_await tell({Event::recipient, step::no_recipient, step::mute_recipient, Stage::recipient}, joined(words));
}

awaitable<Verdict> Client::data()
{
    if (state_ != State::envelope)
        co_return standing_;
    co_return co_await tell({Event::data, step::no_data, step::mute_data, Stage::data}, {});
}

awaitable<Verdict> Client::unknown(std::string line)
{
    if (state_ != State::envelope)
        co_return standing_;
    std::string data;
    append_text(data, line);
    co_return co_await tell({Event::unknown, step::no_unknown, step::mute_unknown, Stage::unknown}, std::move(data));
}

awaitable<Verdict> Client::tell_header(Mail& mail)
{
    bool first = (steps_ & step::no_header) == 0;
    for (const HeaderField& one : mail.header()) {
        message::HeaderWalk walk(one.text);
        const auto field = walk.next();
        if (one.ours || !field)
            continue;
        std::string_view value = field->body;
        if ((steps_ & step::leading_space) == 0 && value.starts_with(' '))
            value.remove_prefix(1);
        std::string data, lines;
        for (std::size_t octet = 0; octet < value.size(); ++octet)
            if (value[octet] != '\r' || octet + 1 == value.size() || value[octet + 1] != '\n')
                lines += value[octet];
        append_text(data, field->name);
        append_text(data, lines);
        const Verdict verdict =
            co_await tell({Event::header, step::no_header, step::mute_header, Stage::end_of_header, std::exchange(first, false)}, std::move(data));
        if (!verdict.goes_on() || state_ != State::message)
            co_return verdict;
    }
    co_return co_await tell({Event::end_of_header, step::no_end_of_header, step::mute_end_of_header, Stage::end_of_header}, {});
}

awaitable<Verdict> Client::tell_body(Mail& mail)
{
    if ((steps_ & step::no_body) != 0)
        co_return standing_;
    std::string chunk;
    for (std::uint64_t offset = 0;;) {
        auto piece = co_await mail.body(offset, body_chunk - chunk.size());
        if (!piece) {
            around_.warn(fmt::format("milter {}: {}", spec_.name, piece.error().text()));
            co_return Verdict(Verdict::Kind::reply, "451 4.3.0 Error: queue file write error");
        }
        offset += piece->size();
        const bool last = piece->empty();
        chunk += *piece;
        if (chunk.empty() || (!last && chunk.size() < body_chunk)) {
            if (last)
                co_return standing_;
            continue;
        }
        const bool first = offset <= body_chunk;
        const Verdict verdict = co_await tell({Event::body, step::no_body, step::mute_body, Stage::end_of_body, first}, std::exchange(chunk, {}));
        if (!verdict.goes_on() || state_ != State::message || last || skipped_ == Event::body)
            co_return verdict;
    }
}

awaitable<Verdict> Client::message(Mail& mail)
{
    if (state_ != State::envelope)
        co_return standing_;
    state_ = State::message;
    patience_ = spec_.settings.content_timeout;
    Verdict verdict = co_await tell_header(mail);
    if (verdict.goes_on() && state_ == State::message)
        verdict = co_await tell_body(mail);
    if (verdict.goes_on() && state_ == State::message)
        verdict = co_await tell({Event::end_of_body, 0, 0, Stage::end_of_body}, {}, &mail);
    if (state_ == State::failed)
        mail.take_back_changes();
    else
        mail.end_of_changes();
    co_return verdict;
}

void Client::abort()
{
    if (is_over() || state_ == State::closed || state_ == State::ready)
        return;
    if (std::exchange(begun_, false))
        out_ += packet(Event::abort);
    skipped_.reset();
    standing_ = Verdict();
    state_ = State::envelope;
}

awaitable<void> Client::quit()
{
    if (!stream_)
        co_return;
    if (state_ == State::envelope || state_ == State::message || state_ == State::message_accepted) {
        abort();
        out_ += packet(Event::quit);
        patience_ = std::min(patience_, std::chrono::seconds{5});
        (void)co_await flush(Event::quit);
    }
    if (stream_)
        stream_->close();
    stream_.reset();
    state_ = State::closed;
}

}  // namespace posthorn::milter
