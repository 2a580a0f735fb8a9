// services/order_file.hpp: operators' orders on the disk: the file `orders` beside the queue's database.
// Why      a file of its own: an order is in force when it is on stable storage, which memory's files are not when they are told, and holds although the
//          database was damaged and salvaged; and a queue keeps the format that the program before this one can read.
// Shape    "posthorn orders 1 HASH", a line feed, handoff::StoredOrders. Written whole beside the old one, synced, renamed over it, the folder synced.
// Errors   4.3.0, 4.3.1 (no room): the file is as it was; where the folder alone could not be synced it may be the new one.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "handoff/orders.pb.h"
#include "spool/file_ops.hpp"

#include <string>
#include <string_view>

namespace posthorn::services {

inline constexpr std::string_view order_file = "orders", order_file_damaged = "orders.damaged";
inline constexpr std::size_t order_file_octets = 4 << 20;

/// The file's octets, and what they say. Error: they are none of ours, or damaged.
std::string order_file_text(const handoff::StoredOrders& orders);
Result<handoff::StoredOrders> read_order_file(std::string_view octets);

class OrderFile {
public:
    /// `files` outlives it.
    explicit OrderFile(spool::FileOps& files) : files_(files), threads_(1) {}

    struct Kept {
        handoff::StoredOrders orders;
        std::string trouble;  // why there are none although there is a file; a damaged one is set aside
    };
    Kept read();
    /// On stable storage when it returns. The next call waits for the one before.
    awaitable<Result<void>> write(handoff::StoredOrders orders);

private:
    Result<void> replace(const std::string& octets);

    spool::FileOps& files_;
    Helpers threads_;
};

}  // namespace posthorn::services
