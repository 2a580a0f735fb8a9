// receive/screen/gate.hpp: the tests before the greeting: who may be heard at all.                postscreen(8), POSTSCREEN_README
//   const Arrival arrival = co_await gate.admit(std::move(stream));      // no stream: it was sent away, and all is logged
// Order    the permanent list; the temporary one; then, side by side within the greet wait, who speaks too early and what lists in the DNS say.
// Ends     who fails is let in (ignore), is talked with and has every recipient refused (enforce), or is dropped, by the test's own parameter.
//          Who passes goes on with the session on the same connection, behind the first line of the greeting.
// Log      Postfix's lines, under the name of postscreen.
// Owns     the stream while it lasts. What Core names outlives the gate; the gate outlives its visits.
#pragma once

#include "observe/log.hpp"
#include "receive/screen/allowed.hpp"
#include "receive/screen/arrival.hpp"
#include "receive/server.hpp"
#include "tables/maps.hpp"
#include "tables/match_list.hpp"

#include <list>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

namespace posthorn::receive::screen {

class Gate {
public:
    Gate(Server::Core& core, observe::Log log);
    Gate(Gate&&) = delete;

    awaitable<Arrival> admit(std::unique_ptr<net::Stream> stream);
    /// Whoever is at the gate is to wait no more.
    void close();
    std::size_t visitors() const { return visitors_; }
    const Allowed& allowed() const { return allowed_; }

private:
    friend class Visit;
    friend class Refusal;
    enum class Standing : std::uint8_t { unknown, permitted, rejected };
    awaitable<Standing> standing(std::string address);
    awaitable<std::optional<Standing>> word_says(Options::Access::Kind kind, std::string address);
    const Options& options() const;
    const Options::Pace& pace();
    void clean(WallTime now);
    /// A refusal with what stands behind such.
    awaitable<std::string> with_footer(std::string reply, net::Endpoint client);

    Server::Core& core_;
    const receive::Options told_to_failed_;       // for the reply to EHLO
    observe::Log log_;
    std::vector<std::unique_ptr<tables::Maps>> access_;       // one for each table of the access list, in its order
    tables::Maps replies_, footers_, discards_, filter_;
    tables::MatchList interfaces_, forbidden_;
    Allowed allowed_;
    std::size_t visitors_ = 0;
    std::unordered_map<std::string, std::size_t> by_address_;
    std::list<net::Stream*> waiting_;
    bool stressed_ = false;
    WallTime cleaned_{};
};

}  // namespace posthorn::receive::screen
