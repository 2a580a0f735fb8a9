// spool/recorded_files.hpp: files in memory that know which of their octets a power loss would leave. For tests.
// Model    a write is pending until its file was synced; then it is on the disk. A power loss leaves any subset of what is pending, in
//          sectors of 512 octets (a write does not harm what lies beside it). Names are pending until their folder was synced.
// Failures a sync that fails drops what was pending: the running system still reads it, no later sync writes it; every other open file of
//          the same inode hears of it once, at its next sync (as Linux does).
// Syncs    cover what was written before they began, however long they take (`delay`), and no more.
// Threads  any; `after` runs in the thread of the operation, alone.
#pragma once

#include "spool/file_ops.hpp"

#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <random>

namespace posthorn::spool {

struct Operation {
    enum class Kind { create, write, truncate, sync, remove, rename, link, make_folder, sync_folder };
    Kind kind{};
    std::string name;
    std::size_t number = 0;                // of this operation, from 1
};

class RecordedFiles final : public FileOps {
public:
    RecordedFiles();

    int open(std::string_view name, Open how, std::unique_ptr<File>& file) override;
    int remove(std::string_view name) override;
    int rename(std::string_view from, std::string_view to) override;
    int link(std::string_view from, std::string_view to) override;
    int make_folder(std::string_view name) override;
    int list(std::string_view folder, std::vector<Entry>& entries) override;
    int exists(std::string_view name, bool& yes) override;
    int set_aside(std::string_view name, std::string_view spare, std::uint64_t most) override;
    int take_spare(std::string_view spare, std::string_view name, std::unique_ptr<File>& file) override;
    int sync_folder(std::string_view name) override;
    std::uint64_t free_octets() override { return std::uint64_t{1} << 40; }

    /// Asked before every operation: an errno to fail it with.
    std::function<int(const Operation&)> before;
    /// Called at the start of every sync of a file, in its thread, while others go on.
    std::function<void(std::string_view name)> delay;
    /// Told after every operation that was done.
    std::function<void(const Operation&)> after;
    /// True: this sync reports success and does nothing (a mutation).
    std::function<bool(const Operation&)> lying;

    /// A disk as a power loss now could leave it.
    std::unique_ptr<RecordedFiles> power_loss(std::mt19937_64& random) const;
    std::size_t operations() const
    {
        const std::lock_guard lock(mutex_);
        return number_;
    }
    std::size_t syncs() const
    {
        const std::lock_guard lock(mutex_);
        return syncs_;
    }
    /// Spares that were taken.
    std::size_t taken() const
    {
        const std::lock_guard lock(mutex_);
        return taken_;
    }
    /// Overwrites octets of the disk itself, as a failing drive does.
    void damage(std::string_view name, std::uint64_t offset, std::string_view octets);
    std::uint64_t size(std::string_view name) const;

private:
    struct Pending {
        std::uint64_t offset = 0;          // of a truncation: the size
        std::string octets;
        bool truncation = false;
        std::size_t number = 0;            // of the operation
    };
    struct Inode {
        std::string cache, disk;
        std::vector<Pending> pending;
        bool locked = false;
        std::size_t shared = 0;            // by readers
        std::size_t failures = 0;          // of syncs
    };
    using Node = std::shared_ptr<Inode>;
    struct NameChange {
        std::string name;
        Node node;                         // null: removed
        std::string folder_of;             // where the sync belongs
        std::size_t group = 0;             // a rename's two halves go together
    };
    class Handle;

    /// Failure injected before, or 0; counts.
    int begin(Operation::Kind kind, std::string_view name, Operation& operation);
    void end(const Operation& operation);
    void change_name(std::string name, Node node, std::size_t group);
    static std::string folder_of(std::string_view name);
    static void apply(std::string& disk, const Pending& pending);

    mutable std::recursive_mutex mutex_;
    std::map<std::string, Node, std::less<>> names_, durable_names_;
    std::map<std::string, bool, std::less<>> folders_;             // true: durable
    std::vector<NameChange> name_changes_;
    std::size_t number_ = 0, syncs_ = 0, taken_ = 0;
};

}  // namespace posthorn::spool
