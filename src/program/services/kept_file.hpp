// services/kept_file.hpp: what qmgr keeps in files of its own beside the queue's database: operators' orders (`orders`), who hands mail in (`accounts`), where
//          messages are bound for (`moving`); and memory: what stricter settings would have refused (`trials`).
// Why      a file of its own: an order is in force when it is on stable storage, which memory's files are not when they are told, and holds although the
//          database was damaged and salvaged; and a queue keeps the format that the program before this one can read.
// Shape    "posthorn NAME 1 HASH", a line feed, one message of handoff. Written whole beside the old one, synced, renamed over it, the folder synced.
// Errors   4.3.0, 4.3.1 (no room): the file is as it was; where the folder alone could not be synced it may be the new one.
#pragma once

#include "async/async.hpp"
#include "base/error.hpp"
#include "handoff/accounts.pb.h"
#include "handoff/moving.pb.h"
#include "handoff/orders.pb.h"
#include "spool/file_ops.hpp"

#include <string>
#include <string_view>

namespace posthorn::services {

/// Octets of one of them.
class KeptFile {
public:
    struct Form {
        std::string_view name;
        std::size_t most;  // octets
    };
    /// `files` outlives it.
    KeptFile(spool::FileOps& files, Form form) : files_(files), form_(form), threads_(1) {}

    /// None where there is no file. One that is too large is set aside.
    Result<std::optional<std::string>> read();
    /// On stable storage when it returns. The next call waits for the one before.
    awaitable<Result<void>> write(std::string octets);
    /// Under another name: what was done, in words.
    std::string set_aside();

private:
    Result<void> replace(const std::string& octets);

    spool::FileOps& files_;
    Form form_;
    Helpers threads_;
};

/// The file's octets with these in it, and what is in it. Error: they are none of ours, or damaged.
std::string kept_text(std::string_view name, std::string_view octets);
Result<std::string_view> kept_octets(std::string_view name, std::string_view text);

template <class Message>
Result<Message> read_kept(std::string_view name, std::string_view text)
{
    TRY(const std::string_view octets, kept_octets(name, text));
    Message message;
    if (!message.ParseFromArray(octets.data(), static_cast<int>(octets.size())))
        return Error{"it is damaged", "4.3.0"};
    return message;
}

template <class Message>
class Kept {
public:
    Kept(spool::FileOps& files, KeptFile::Form form) : name_(form.name), file_(files, form) {}

    struct Found {
        Message message;
        std::string trouble;  // why there is none although there is a file; a damaged one is set aside
    };
    Found read()
    {
        const auto text = file_.read();
        if (!text)  // it may be whole
            return {{}, name_ + ": " + text.error().text()};
        const std::optional<std::string>& octets = *text;
        if (!octets)
            return {};
        auto message = read_kept<Message>(name_, *octets);
        if (message)
            return {*std::move(message), {}};
        return {{}, name_ + ": " + message.error().text() + "; " + file_.set_aside()};
    }
    awaitable<Result<void>> write(Message message) { return file_.write(kept_text(name_, message.SerializeAsString())); }

private:
    std::string name_;
    KeptFile file_;
};

using OrderFile = Kept<handoff::StoredOrders>;
using AccountFile = Kept<handoff::StoredAccounts>;
using MovingFile = Kept<handoff::StoredMoving>;
inline constexpr KeptFile::Form order_file{"orders", 4 << 20}, account_file{"accounts", 256 << 20}, moving_file{"moving", 1 << 20};

}  // namespace posthorn::services
