// milter/client.hpp: one filter, for one SMTP session: a connection, what it asked to be told, and what it said last.
// Order    open, connect, helo, then for each message mail, recipient ..., data, message; abort where a message ends otherwise.
// Final    what was said to connect or helo holds for the session (accepted: it is asked nothing more; refused: so is all that follows);
//          "accept" to anything else holds for the message.
// Failures are said once by `warn`, in Postfix's words; from then on the filter's default action is its answer to everything.
// Limits   time: its settings' timeouts, for each answer; "still working" starts them anew, for an hour at most. Changes of one message: 10 000, of
//          16 MiB, beside a new body. What a filter that failed meanwhile had changed of the message is taken back.
#pragma once

#include "milter/macros.hpp"
#include "milter/mail.hpp"
#include "milter/spec.hpp"
#include "milter/wire.hpp"
#include "net/stream.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::milter {

struct Verdict {
    enum class Kind : std::uint8_t { go_on, reply, hold, discard, shutdown };
    Verdict() = default;
    explicit Verdict(Kind what, std::string text = {}) : kind(what), reply(std::move(text)) {}
    bool goes_on() const { return kind == Kind::go_on; }
    Kind kind = Kind::go_on;
    std::string reply;                   // "550 5.7.1 Command rejected"; of several lines: CRLF between them
};

/// Who the SMTP client is.
struct Peer {
    std::string name;                    // verified, or "unknown"
    std::string address;                 // "192.0.2.1"
    std::uint16_t port = 0;
    bool v6 = false;
};

/// What filters of a session share. It outlives them.
struct Surroundings {
    using Connect = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>(const Spec& spec)>;
    Connect connect;
    MacroValues values;
    std::function<void(std::string)> warn;
    const MacroLists* lists = nullptr;
    const MacroDefaults* defaults = nullptr;
};

class Client {
public:
    Client(const Spec& spec, const Surroundings& around) : spec_(spec), around_(around) {}
    Client(Client&&) = delete;

    /// Connects and negotiates; a failure shows in every answer from then on.
    awaitable<void> open();
    awaitable<Verdict> connect(Peer peer);
    awaitable<Verdict> helo(std::string name);
    /// What the client wrote behind MAIL FROM:, RCPT TO:, word by word.
    awaitable<Verdict> mail(std::vector<std::string> words);
    awaitable<Verdict> recipient(std::vector<std::string> words);
    awaitable<Verdict> data();
    awaitable<Verdict> unknown(std::string line);
    /// The whole content; changes are in `mail` afterwards.
    awaitable<Verdict> message(Mail& mail);
    /// The message ends here. Said with whatever is said next.
    void abort();
    awaitable<void> quit();

    bool hears_refused_recipients() const { return state_ == State::envelope && (steps_ & step::rejected_recipients) != 0; }
    /// Does it want one of these at this stage?
    bool wants(Stage stage, std::initializer_list<std::string_view> bare_names) const;
    const Spec& spec() const { return spec_; }

private:
    enum class State : std::uint8_t { closed, ready, envelope, message, message_accepted, session_accepted, session_refused, failed };
    struct Telling {                     // an event, when it is left out, when it has no answer, and the macros that go with it
        Event event = Event::connect;
        std::uint32_t not_told = 0, mute = 0;
        Stage stage = Stage::connect;
        bool with_macros = true;         // of a message's many fields and pieces the first has them
    };
    bool is_over() const { return state_ == State::failed || state_ == State::session_accepted || state_ == State::session_refused; }
    const MacroLists& lists() const { return own_lists_ ? *own_lists_ : *around_.lists; }
    awaitable<void> negotiate();
    /// `mail`: changes may be asked for.
    awaitable<Verdict> tell(Telling telling, std::string data, Mail* mail = nullptr);
    awaitable<Verdict> hear(Event event, Mail* mail);
    std::optional<Verdict> decide(Event event, const Response& response);
    awaitable<Result<void>> flush(Event event);
    awaitable<Result<std::pair<char, std::string>>> receive(Event event);
    awaitable<Verdict> tell_header(Mail& mail);
    awaitable<Verdict> tell_body(Mail& mail);
    Verdict fail(const std::string& warning, bool misused = false);

    const Spec& spec_;
    const Surroundings& around_;
    std::unique_ptr<net::Stream> stream_;
    std::unique_ptr<MacroLists> own_lists_;
    Packets packets_;
    std::string out_;                    // not sent yet
    std::chrono::seconds patience_{30};
    SteadyTime last_moment_{};           // of the event in hand
    std::uint32_t steps_ = 0, not_known_ = 0;
    std::optional<Event> skipped_;
    Verdict standing_;                   // the answer to whatever it is not told
    std::size_t change_octets_ = 0, changes_ = 0;
    State state_ = State::closed;
    bool begun_ = false;                 // it was told of a message, and not yet of its end
};

}  // namespace posthorn::milter
