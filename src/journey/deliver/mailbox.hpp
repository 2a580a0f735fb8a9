// deliver/mailbox.hpp: a message into a mailbox, by who has become its owner. It may block: for a child process.             maildir(5), mbox(5)
// Durable   file and folder are synced before the fate says delivered.
// maildir   tmp/, fsync, into new/ under a name that nobody has, fsync of new/. Folders that are missing are made, mode 0700.
// mbox      locked as told, appended, synced; cut back to what it was when any of it fails. Half a message that is there stays apart from this one.
//           A device (/dev/null) is written to, no more.
//           A file that is no user's mailbox: not one that can be executed; in a folder that takes no new files the other locks have to do.
// biff      "user@offset", as comsat(8) wants it: where the new mail begins in the mbox. A datagram that nobody may hear.
// Errors    over the limit or the quota: returned (5.2.2). Anything else of the system's: deferred. Nothing half-written stays behind.
#pragma once

#include "deliver/fate.hpp"
#include "deliver/mailbox_lock.hpp"
#include "deliver/message.hpp"
#include "deliver/written.hpp"

#include <cstdint>
#include <string>

namespace posthorn::deliver {

struct MailboxJob {
    std::string path;                        // a maildir has a "/" at its end
    std::string owner;                       // for texts: the user's name, or the address
    WrittenOptions how;
    WrittenNames names;
    std::uint64_t size_limit = 0;            // of an mbox file, of a message in a maildir; 0: none
    LockManner lock;
    bool strict_ownership = true;            // an mbox file belongs to who delivers
    std::string host = "localhost";          // in the names of maildir files
    std::uint16_t biff_port = 0;             // who looks at a user's new mail is told of it there, on this machine; 0: nobody
    std::string success_file;                // "delivered to file: PATH" where it is no user's mailbox; empty: "delivered to mailbox"
};

/// What its delivery waits for, in words.
std::string waits_for(const MailboxJob& job);
Fate deliver_to_mailbox(const MailboxJob& job, const Message& message);

}  // namespace posthorn::deliver
