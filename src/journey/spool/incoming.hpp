// spool/incoming.hpp: content above 64 KiB on its way into the spool, as its receiver (smtpd, pickup) writes it.
// Shape    incoming/QUEUE_ID, octets as they will be sent (CRLF, not dot-stuffed).
// Owns     the file until the queue has answered: the lock it holds tells the orphan sweep that the writer lives. When it goes without
//          keep(), the file is removed; when its process dies, the sweep removes it, unless a message that names it was committed.
// Errors   4.3.1 no room, 4.3.0 any other.
#pragma once

#include "base/error.hpp"
#include "spool/file_ops.hpp"

#include <condition_variable>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>

namespace posthorn::spool {

inline constexpr std::string_view incoming_folder = "incoming";
/// Below the spool's folder.
inline std::string incoming_name(std::string_view queue_id) { return (std::string(incoming_folder) += '/') += queue_id; }

/// Syncs of the incoming folder that share: those who ask while one runs have the next one together. From any thread; blocks.
class FolderSync {
public:
    /// `files` must outlive it.
    explicit FolderSync(FileOps& files) : files_(files) {}
    FolderSync(FolderSync&&) = delete;
    /// Returns after a sync that began after the call; its error is every sharer's.
    Result<void> sync();

private:
    struct Round {
        bool done = false;
        int error = 0;
    };
    FileOps& files_;
    std::mutex mutex_;
    std::condition_variable ended_;
    std::shared_ptr<Round> next_;           // gathers those who ask now
    bool running_ = false;
};

/// Files of messages that have left, kept to be written over: a file that grows has its blocks found, and the file system's journal written, in the sync that a
/// sender waits for; one that is written over has not. They are "spare-N" in the incoming folder, at most `spare_files` of `spare_octets`; the orphan sweep removes
/// those that nothing was written to for as long as an orphan may stay.
inline constexpr unsigned spare_files = 32;
inline constexpr std::uint64_t spare_octets = 4 << 20;
/// Of a name within the incoming folder.
inline bool is_spare(std::string_view name) { return name.starts_with("spare-"); }
/// Of a message that has left for good, which is on the disk: its file becomes a spare, or is removed. From any thread.
void retire(FileOps& files, std::string_view name);
/// At the start of a queue: those that are there.
void remove_spares(FileOps& files);

class IncomingFile {
public:
    /// A spare where there is one, a new file otherwise. `files` must outlive it.
    static Result<IncomingFile> create(FileOps& files, std::string queue_id);
    IncomingFile(IncomingFile&&) noexcept;
    IncomingFile& operator=(IncomingFile&&) = delete;
    ~IncomingFile();

    Result<void> append(std::string_view octets);
    /// What was appended, from `offset`: `most` octets, fewer at the end.
    Result<std::string> read(std::uint64_t offset, std::size_t most) const;
    /// Syncs file and folder: after this, and not before, the message may be handed to the queue. Blocks: run it on a helper thread.
    Result<void> sync();
    /// The file alone; what the folder says of it may be synced side by side, from when it was made.
    Result<void> sync_octets();
    /// The queue has committed the message, or its fate is not known: the file is no longer ours to remove.
    void keep() { owned_ = false; }
    /// The name is free for another file, which takes this one's place; what was appended can still be read.
    Result<void> give_up_name();
    std::uint64_t size() const { return size_; }
    /// For handoff::Content.file.
    const std::string& name() const { return name_; }

private:
    IncomingFile(FileOps& files, std::string name, std::unique_ptr<File> file);
    FileOps* files_;
    std::string name_;
    std::unique_ptr<File> file_;
    std::uint64_t size_ = 0;
    bool spare_ = false;  // of a message before, it may be longer than what is written
    bool owned_ = true;
};

}  // namespace posthorn::spool
