// standby/lineage.hpp: which queue this is, and how often it has changed hands. In two files of the spool's folder:
//     lineage   "posthorn-lineage 1 IDENTITY EPOCH SINCE HOST": made once, copied with the queue. The epoch goes up when a copy becomes the queue: who has
//               the lower one has been replaced, and must not deliver.
//     copy-of   "posthorn-copy 1 IDENTITY EPOCH STATE IN-STEP HOST": this folder holds a copy. While it is there no queue is opened here.
// Shape    IDENTITY: 32 hexadecimal digits; times: seconds since the epoch of Unix; one line each.
// Written  whole beside the old one, synced, renamed over it, the folder synced.
// Errors   4.3.0, with the file's name.
#pragma once

#include "base/clock.hpp"
#include "base/error.hpp"
#include "spool/file_ops.hpp"
#include "standby/standby.pb.h"

#include <optional>
#include <string>
#include <string_view>

namespace posthorn::standby {

inline constexpr std::string_view lineage_name = "lineage", copy_name = "copy-of", journal_name = "copy-journal";

struct Lineage {
    std::string identity;
    std::uint64_t epoch = 0;
    WallTime since{};  // of the epoch
    std::string host;  // who has had it since
    bool operator==(const Lineage&) const = default;
};

/// How far a copy is. partial: no copy yet. whole: it can be promoted. catching_up: so it can, once the journal beside it, which is whole, has been done.
enum class Progress { partial, whole, catching_up };

struct CopyMark {
    Lineage of;  // the queue, as it was when it was last heard; `since` does not count
    Progress progress = Progress::partial;
    WallTime in_step{};  // when it last was; the epoch of Unix: never
};

/// A host's name in one word of printable octets, cut where it is too long for one.
std::string host_word(std::string_view host);

/// As it is said to the other end, and what that says. Error: it is none.
LineageSaid said_of(const Lineage& lineage);
Result<Lineage> lineage_of(const LineageSaid& said);

/// None: there is no such file.
Result<std::optional<Lineage>> read_lineage(spool::FileOps& files);
Result<void> write_lineage(spool::FileOps& files, const Lineage& lineage);
Result<std::optional<CopyMark>> read_copy_mark(spool::FileOps& files);
Result<void> write_copy_mark(spool::FileOps& files, const CopyMark& mark);

/// At the start of a queue that is to have a copy: what is there, or a new one of epoch 1.
Result<Lineage> lineage_of(spool::FileOps& files, std::string_view host, const Clock& clock);

}  // namespace posthorn::standby
