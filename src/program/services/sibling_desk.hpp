// services/sibling_desk.hpp: memory and those of other machines: who is connected, and between them and what is known here.
// Ways     out: private/NAME of a spawn line (memory_siblings), again where it ends, with pauses that grow to a minute. In: a descriptor of
//          `posthorn share`.
// Needs    nobody: without siblings nothing is kept, and nothing wakes.
#pragma once

#include "async/async.hpp"
#include "handoff/frames.pb.h"
#include "ipc/dispatcher.hpp"
#include "process/service.hpp"
#include "services/peer_memory.hpp"
#include "siblings/session.hpp"
#include "verify/desk.hpp"

#include <list>
#include <memory>
#include <string>
#include <vector>

namespace posthorn::services {

class SiblingDesk final : public siblings::Memory {
public:
    SiblingDesk(process::Service& service, const Clock& clock, PeerKeeper& peers, verify::Desk& addresses);
    void serve(ipc::Dispatcher& dispatcher);
    void start(const config::Snapshot& snapshot) { reload(snapshot); }
    /// Who is not named any more is left, who is new is connected to.
    void reload(const config::Snapshot& snapshot);
    awaitable<void> close();
    void count(handoff::CountersReply& reply) const;

    std::optional<peers::Word> peer(const std::string& key) override { return peers_.book().word(key); }
    std::optional<peers::WayWord> way(const std::string& address) override { return peers_.book().way_word(address); }
    std::optional<verify::Told> address(const std::string& key) override { return addresses_.word(key); }
    std::vector<std::string> peers() override { return peers_.keys(); }
    std::vector<std::string> ways() override { return peers_.addresses(); }
    awaitable<Result<std::vector<verify::Told>>> addresses() override;
    std::size_t hear(const siblings::Words& words, const std::string& by) override;
    void away(const std::string& by) override { addresses_.away(by); }

private:
    struct Link {
        explicit Link(const Executor& executor) : left(executor) {}
        std::string name;  // empty: it came, and has not said who it is
        bool named = false, wanted = true;
        std::unique_ptr<siblings::Session> session;
        WallTime connected{}, troubled{};
        std::string trouble, host, version;
        Signal left;
    };

    Result<handoff::SiblingTaken> take_in(std::vector<Fd> descriptors);
    handoff::Siblings standing() const;
    awaitable<void> keep(std::shared_ptr<Link> link);
    awaitable<void> receive(std::shared_ptr<Link> link, std::unique_ptr<net::Stream> stream);
    awaitable<Error> converse(std::shared_ptr<Link> link, std::unique_ptr<net::Stream> stream);
    std::size_t connected() const;

    process::Service& service_;
    observe::Log log_;
    const Clock& clock_;
    PeerKeeper& peers_;
    verify::Desk& addresses_;
    siblings::Identity ours_;
    std::list<std::shared_ptr<Link>> links_;
    siblings::Session::Counts over_;  // of sessions that have ended
    bool closing_ = false;
    TaskGroup tasks_;
};

}  // namespace posthorn::services
