// spool/memory_store.hpp: the Store of two nodes that share one memory, for tests: what a shared database will promise, without one.
// Leases   a message belongs to the node that enqueued it. fail_over() gives a node's messages to the other one with a higher epoch and
//          tells it by adopted(); the lost node is refused everything until it rejoins, and its old leases for ever.
// Durable  nothing. Calls complete in a later turn of the loop, as a real store's do.
#pragma once

#include "spool/file_ops.hpp"
#include "spool/store.hpp"

#include <array>
#include <memory>

namespace posthorn::spool {

class TwoNodes {
public:
    /// `files`: where content files are found; read when they are enqueued.
    TwoNodes(Executor loop, FileOps& files);
    ~TwoNodes();

    Store& node(std::uint32_t number);
    /// `from` is lost: the other node takes its messages over.
    void fail_over(std::uint32_t from);
    void rejoin(std::uint32_t node);

    struct Shared;

private:
    std::unique_ptr<Shared> shared_;
    std::array<std::unique_ptr<Store>, 2> nodes_;
};

}  // namespace posthorn::spool
