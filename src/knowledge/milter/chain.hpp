// milter/chain.hpp: the filters of one SMTP session, asked one after the other. The first that does not say "go on" decides; the others are not
// asked about that event then (as in Postfix, where a quarantine ends the round as well). Each sees the message as those before it left it.
// Ownership  what Options hold outlives the chain. One coroutine at a time is at work in it.
#pragma once

#include "milter/client.hpp"
#include "milter/options.hpp"

#include <list>

namespace posthorn::milter {

class Chain {
public:
    /// Looks at the fields that a filter made, after each filter (milter_header_checks); a verdict ends the round.
    using Inspect = std::function<awaitable<Verdict>(Mail& mail)>;

    Chain(std::vector<Spec> specs, const Options& options, Surroundings::Connect connect, MacroValues values, std::function<void(std::string)> warn);
    Chain(Chain&&) = delete;
    ~Chain();

    /// Opens all connections and tells who the client is.
    awaitable<Verdict> connect(Peer peer);
    awaitable<Verdict> helo(std::string name);
    awaitable<Verdict> mail(std::vector<std::string> words);
    awaitable<Verdict> recipient(std::vector<std::string> words);
    /// One that was refused already; only filters that want to know hear of it, and nothing depends on their answer.
    awaitable<void> refused_recipient(std::vector<std::string> words);
    awaitable<Verdict> data();
    awaitable<Verdict> unknown(std::string line);
    awaitable<Verdict> message(Mail& mail, Inspect inspect);
    void abort();
    awaitable<void> quit();

    bool wants(Stage stage, std::initializer_list<std::string_view> bare_names) const;
    bool hears_refused_recipients() const;

private:
    template <class Tell>
    awaitable<Verdict> ask(Tell tell);

    std::vector<Spec> specs_;
    Surroundings around_;
    std::list<Client> clients_;
};

/// "<a@b.test> SIZE=5" of "FROM:<a@b.test> SIZE=5": the words that a filter is told of MAIL and RCPT.
std::vector<std::string> words_of_command(std::string_view arguments);

}  // namespace posthorn::milter
