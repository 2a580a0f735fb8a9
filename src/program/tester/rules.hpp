// tester/rules.hpp: what a server must do, each with a dialogue that shows whether it does.
// Outcome  kept, broken, or untested with the reason (the server does not offer it, or would not let us come that far).
// Safety   no content is ever completed; recipients are named at most as far as RCPT.
#pragma once

#include "tester/conversation.hpp"

#include <span>
#include <string_view>

namespace posthorn::tester {

struct Question {
    std::string host;                     // as the user named it
    std::string helo = "localhost";
    std::string from, to;                 // empty `from`: the null reverse-path
    bool starttls = false;                // every dialogue after STARTTLS
    std::chrono::milliseconds patience{10'000};
    std::chrono::milliseconds glance{300};    // how long a reply that must not come is looked for
};

/// How connections are made: a test gives its own.
using Dial = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>()>;
using Secure = std::function<awaitable<Result<std::unique_ptr<net::Stream>>>(std::unique_ptr<net::Stream> stream)>;

struct Outcome {
    enum class Kind { kept, broken, untested };
    static Outcome kept() { return {Kind::kept, {}}; }
    static Outcome broken(std::string seen) { return {Kind::broken, std::move(seen)}; }
    static Outcome untested(std::string why) { return {Kind::untested, std::move(why)}; }
    Outcome(Kind which, std::string words) : kind(which), seen(std::move(words)) {}
    Kind kind;
    std::string seen;
};

/// How far a session has come when a rule's dialogue takes over: the greeting, EHLO in clear, or EHLO with STARTTLS where that was asked for.
enum class Opening { greeting, clear, hello };

/// What a rule's dialogue works with.
class Bench {
public:
    Bench(const Question& question, Dial dial, Secure secure) : question_(question), dial_(std::move(dial)), secure_(std::move(secure)) {}
    Bench(Bench&&) = delete;

    const Question& question() const { return question_; }
    /// The conversation is the bench's until the next one. An Error: it did not come so far.
    awaitable<Result<Conversation*>> open(Opening opening);
    /// Connects, reads the greeting.
    awaitable<Result<Conversation*>> connect();
    /// And says EHLO; with question().starttls, STARTTLS and EHLO again.
    awaitable<Result<Conversation*>> hello();
    /// STARTTLS was answered with 220: the handshake.
    awaitable<Result<void>> secure(Conversation& conversation);
    awaitable<Result<void>> ehlo(Conversation& conversation);
    std::string mail(std::string_view parameters = {}) const;
    std::string rcpt() const;

    Transcript transcript() const { return conversation_ ? conversation_->transcript() : Transcript{}; }

private:
    const Question& question_;
    Dial dial_;
    Secure secure_;
    std::unique_ptr<Conversation> conversation_;
};

struct Rule {
    std::string_view id;
    std::string_view section;             // "RFC 2920 3.2"
    std::string_view says;
    std::string_view workaround;          // what helps a client where it is broken; empty: nothing is needed
    Opening opening;
    awaitable<Outcome> (*examine)(Bench& bench, Conversation& talk);
};
std::span<const Rule> rules();

struct Finding {
    Finding(const Rule& of_rule, Outcome what, Transcript lines) : rule(&of_rule), outcome(std::move(what)), transcript(std::move(lines)) {}
    const Rule* rule;
    Outcome outcome;
    Transcript transcript;
};

struct Examination {
    std::string greeting;                 // first line
    std::vector<std::string> keywords;    // of EHLO, as announced
    std::vector<Finding> findings;
    bool kept() const;
};

/// All rules, one connection each. An Error: no connection, or no greeting of an SMTP server.
awaitable<Result<Examination>> examine(Question question, Dial dial, Secure secure);

}  // namespace posthorn::tester
