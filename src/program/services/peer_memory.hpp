// services/peer_memory.hpp: what is known of other servers, in two processes.
// PeerMemory   in every smtp and lmtp process: reads what memory has stored, learns at once from its own sessions, and tells memory each
//              observation. Nothing waits for that: with memory away, observations are dropped beyond a bound.
// PeerKeeper   in memory: the one writer. Learns from all, stores once a second, and says in the log what was learned, and what has changed: once,
//              whoever saw it.
#pragma once

#include "async/async.hpp"
#include "ipc/client.hpp"
#include "ipc/dispatcher.hpp"
#include "observe/counters.hpp"
#include "peers/book.hpp"
#include "peers/gallery.hpp"
#include "peers/store.hpp"
#include "process/service.hpp"

#include <functional>
#include <memory>
#include <vector>

namespace posthorn::peers::stored {
class Changed;
class Command;
class Observed;
}  // namespace posthorn::peers::stored

namespace posthorn::services {

class PeerMemory {
public:
    /// An operator changed what is known: of these, or of all. Sessions that idle were begun with what was known before.
    std::function<void()> on_change;

    /// Before the process is confined: reads the rule files.
    PeerMemory(process::Service& service, const Clock& clock);
    void start() { link_.start(); }
    awaitable<void> close();
    peers::Peers* peers() { return &book_; }
    std::uint64_t dropped() const { return dropped_; }

private:
    awaitable<void> tell(peers::stored::Observed frame);
    void post(peers::stored::Observed frame);
    void heard(ipc::Incoming incoming);

    peers::StoredShelf shelf_;
    peers::Book book_;
    ipc::Client link_;
    TaskGroup tasks_;
    std::size_t on_the_way_ = 0;
    std::uint64_t dropped_ = 0;
};

class PeerKeeper {
public:
    /// Whoever is connected to memory; smtp processes are among them.
    using Channels = std::function<std::vector<std::shared_ptr<ipc::Channel>>()>;
    /// What an import has said so far, on one connection.
    using Staged = std::vector<peers::Record>;

    /// After the process is confined. Without a file it keeps what it learns in memory, and says so.
    PeerKeeper(process::Service& service, const Clock& clock, ipc::Dispatcher& dispatcher, Channels channels);
    /// Answers when what was asked for is stored and in force in every smtp process that answers.
    awaitable<void> command(peers::stored::Command command, std::shared_ptr<Staged> staged, ipc::Responder responder);
    /// Until cancelled; `write_out` is due after it.
    awaitable<void> run();
    /// What is not stored yet.
    void write_out();
    void reload(const config::Snapshot& snapshot);
    /// What a sibling told. False: it was no news.
    bool hear(const peers::Word& word, const std::string& by) { return note(book_.hear(word, by)); }
    bool hear(const peers::WayWord& word, const std::string& by) { return note(book_.hear(word, by)); }
    /// What siblings are told, and who hears that there is more of it.
    peers::Book& book() { return book_; }
    std::vector<std::string> keys() const { return store_ ? store_->keys() : book_.keys(); }
    std::vector<std::string> addresses() const { return store_ ? store_->addresses() : book_.addresses(); }
    void count(handoff::CountersReply& reply) const;

private:
    void take(const peers::Observation& observation);
    bool note(bool news);
    void log_told(const std::string& line);
    void say(const peers::PeerKey& peer, const peers::Change& change);
    void say_what_was_not_said();
    void forget_portraits(const std::vector<peers::PeerKey>& of, bool all);
    void trouble(const Error& error);
    awaitable<Result<void>> store_now();
    awaitable<void> spread(peers::stored::Changed changed);

    observe::Log log_;
    Executor executor_;
    Channels channels_;
    bool writing_ = false, changed_ = false;
    Signal written_, change_;
    bool only_reported_;
    std::unique_ptr<peers::Store> store_;
    peers::Book book_;
    const Clock& clock_;
    peers::Gallery gallery_;
    peers::Herald herald_;
    asio::thread_pool thread_{1};
    bool in_trouble_ = false;
    WallTime told_since_{};                    // lines of what siblings told, in the minute from here
    std::size_t told_lines_ = 0;
    observe::Tally<1> learned_{100};           // by quirk
    observe::Tally<1> changed_of_{20};         // by kind
};

}  // namespace posthorn::services
