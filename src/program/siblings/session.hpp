// siblings/session.hpp: one connection with a sibling, whoever made it: both sides tell, both hear.
// Begins   each side says who it is. Then all that there is to tell goes, and from then on what is new, a moment after it is.
// Ends     with the stream, with a frame that is none of ours or a word that is none (nothing of that frame counts), where nothing was
//          heard for `silence`.
// Bounded  what waits to be told are keys: what is said of them is what is known when it is said. Beyond `waiting_limit` the first are left
//          out; they are told at the beginning of the next session.
#pragma once

#include "async/async.hpp"
#include "base/clock.hpp"
#include "net/stream.hpp"
#include "siblings/frames.hpp"
#include "siblings/words.hpp"

#include <cstdint>
#include <deque>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace posthorn::siblings {

inline constexpr std::uint32_t session_format = 1;
inline constexpr std::size_t waiting_limit = 200'000;
inline constexpr std::chrono::seconds introduction_limit{60}, still_here{60}, silence{200};

/// What is known here, for a session to tell of and to hear into.
class Memory {
public:
    virtual ~Memory() = default;
    /// None: there is nothing to tell (any more).
    virtual std::optional<peers::Word> peer(const std::string& key) = 0;
    virtual std::optional<peers::WayWord> way(const std::string& address) = 0;
    virtual std::optional<verify::Told> address(const std::string& key) = 0;
    /// Of which there may be something to tell.
    virtual std::vector<std::string> peers() = 0;
    virtual std::vector<std::string> ways() = 0;
    virtual awaitable<Result<std::vector<verify::Told>>> addresses() = 0;
    /// How much of it was news.
    virtual std::size_t hear(const Words& words, const std::string& by) = 0;
    virtual void away(const std::string& by) = 0;
};

struct Identity {
    std::string identity, version, name;
};

class Session {
public:
    /// `name`: what it is called in what it told; empty: as it introduces itself.
    Session(std::unique_ptr<net::Stream> stream, Identity ours, Memory& memory, std::string name);
    Session(Session&&) = delete;

    /// Why it ended.
    awaitable<Error> run();
    /// Ends it.
    void close() { stream_->close(); }

    void more_of_peer(const std::string& key) { wait(peers_, key); }
    void more_of_way(const std::string& address) { wait(ways_, address); }
    void more_of_address(const std::string& key) { wait(addresses_, key); }
    void asking(Asked asked);

    /// Once it has introduced itself.
    std::function<void()> on_introduction;

    const std::string& name() const { return name_; }
    const Identity& theirs() const { return theirs_; }
    bool introduced() const { return introduced_; }
    struct Counts {
        std::uint64_t told = 0, heard = 0, news = 0;  // words of servers, ways and addresses
    };
    const Counts& counts() const { return counts_; }

private:
    void wait(std::set<std::string>& waiting, const std::string& key);
    awaitable<Error> read();
    Result<void> take(const Said& said);
    Result<void> introduce(const Introduction& introduction);
    awaitable<void> write();
    awaitable<Result<void>> tell_all_addresses();
    bool anything_waits() const { return !peers_.empty() || !ways_.empty() || !addresses_.empty() || !asking_.empty(); }
    Said batch();

    std::unique_ptr<net::Stream> stream_;
    Identity ours_, theirs_;
    Memory& memory_;
    std::string name_;
    bool introduced_ = false;
    std::set<std::string> peers_, ways_, addresses_;
    std::deque<Asked> asking_;
    std::string last_words_;
    Counts counts_;
    Signal news_;
    TaskGroup writing_;
};

}  // namespace posthorn::siblings
