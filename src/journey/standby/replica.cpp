#include "standby/replica.hpp"

#include "spool/incoming.hpp"
#include "spool/ledger.hpp"
#include "spool/opening.hpp"

#include <fmt/format.h>

#include <cerrno>

namespace posthorn::standby {

namespace {

constexpr std::uint64_t largest_file = std::uint64_t{1} << 44;    // 16 TiB
constexpr std::size_t most_open = 64;
constexpr unsigned most_shared = 16;                              // frames that one sync may wait for, to be shared
constexpr std::size_t longest_piece = 16U << 20;                  // of the journal

Error failed(std::string_view what, int error_number)
{
    const bool full = error_number == ENOSPC || error_number == EDQUOT;
    return Error{fmt::format("{}: {}", what, errno_text(error_number)), full ? "4.3.1" : "4.3.0"};
}

Error strange(std::string_view what) { return Error{fmt::format("what is said is none of a queue's: {}", what), "4.3.0"}; }

std::string folder_of(std::string_view name) { return name.find('/') == name.npos ? std::string() : std::string(spool::incoming_folder); }

Result<std::unique_ptr<spool::File>> take_folder(spool::FileOps& files)
{
    std::unique_ptr<spool::File> lock;
    if (const int error = files.open(spool::lock_name, spool::Open::create, lock); error != 0)
        return failed(spool::lock_name, error);
    if (const int error = lock->lock(); error == EAGAIN)
        return Error{"another process has the queue open", "4.3.0"};
    else if (error != 0)
        return failed(spool::lock_name, error);
    return lock;
}

Result<bool> there(spool::FileOps& files, std::string_view name)
{
    bool yes = false;
    if (const int error = files.exists(name, yes); error != 0)
        return failed(name, error);
    return yes;
}

}  // namespace

Result<std::unique_ptr<Replica>> Replica::open(spool::FileOps& files, const Clock& clock)
{
    std::unique_ptr<Replica> made(new Replica(files, clock));
    TRY(made->lock_, take_folder(files));
    TRY(const auto mark, read_copy_mark(files));
    if (mark) {
        made->mark_ = *mark;
        TRY_VOID(made->finish_journal());
        return made;
    }
    TRY(const bool queue, there(files, spool::database_name));
    TRY(const auto lineage, read_lineage(files));
    if (queue || lineage)
        return Error{lineage ? fmt::format("a queue is here, not a copy of one (that of {}, epoch {})", lineage->host, lineage->epoch)
                             : std::string("a queue is here, not a copy of one"),
                     "4.3.0"};
    return made;
}

Result<void> Replica::begin(const Lineage& queue)
{
    if (!mark_.of.identity.empty() && mark_.of.identity != queue.identity)
        return Error{fmt::format("the folder holds the copy of another queue, that of {}", mark_.of.host), "4.3.0"};
    if (mark_.of.epoch > queue.epoch)
        return Error{fmt::format("the folder holds the copy of this queue after it went to {}: the one that speaks has been replaced", mark_.of.host),
                     "4.3.0"};
    const bool was_whole = whole();
    mark_.of = queue;
    TRY_VOID(write_copy_mark(files_, mark_));
    if (was_whole) {
        files_.remove(journal_name);
        if (const int error = files_.open(journal_name, spool::Open::create_new, journal_); error != 0)
            return failed(journal_name, error);
        journal_octets_ = 0;
    }
    return {};
}

Result<std::optional<std::uint64_t>> Replica::take(const Operations& said, bool more)
{
    bool arrives = false;
    for (const Operation& operation : said.operations()) {
        if (operation.number() <= number_)
            return strange("numbers that do not go up");
        number_ = operation.number();
        arrives = arrives || operation.what_case() == Operation::kCopied;
    }
    if (journal_) {
        TRY_VOID(write_journal(said));
        if (!arrives)
            return std::nullopt;
        TRY_VOID(arrive());
        durable_ = number_;
        return durable_;
    }
    const std::uint64_t before = durable_;
    for (const Operation& operation : said.operations()) {
        if (operation.what_case() == Operation::kSync) {
            syncs_wanted_ = operation.number();
            if (operation.sync().barrier()) {
                TRY_VOID(sync());
                durable_ = operation.number();
            }
        } else if (operation.what_case() == Operation::kCopied) {
            TRY_VOID(arrive());
            durable_ = operation.number();
        } else {
            TRY_VOID(make(operation));
        }
    }
    if (syncs_wanted_ > durable_ && (!more || ++shared_ == most_shared)) {
        TRY_VOID(sync());
        durable_ = number_;
        shared_ = 0;
    }
    if (durable_ == before)
        return std::nullopt;
    return durable_;
}

/// Everything up to here is there: what waited in the journal is done, and it is a copy.
Result<void> Replica::arrive()
{
    if (journal_) {
        if (const int error = journal_->sync(); error != 0)
            return failed(journal_name, error);
        journal_.reset();
        if (const int error = files_.sync_folder(""); error != 0)
            return failed("the folder", error);
        mark_.progress = Progress::catching_up;
        TRY_VOID(write_copy_mark(files_, mark_));
        TRY_VOID(finish_journal());
    } else {
        TRY_VOID(sync());
    }
    mark_.progress = Progress::whole;
    in_step_ = true;
    return note_in_step();
}

Result<void> Replica::note_in_step()
{
    if (!in_step_)
        return {};
    mark_.in_step = clock_.wall();
    return write_copy_mark(files_, mark_);
}

Result<void> Replica::write_journal(const Operations& said)
{
    const std::size_t size = said.ByteSizeLong();
    if (size > longest_piece)
        return strange("too much at once");
    std::string piece{static_cast<char>(size >> 24), static_cast<char>(size >> 16), static_cast<char>(size >> 8), static_cast<char>(size)};
    said.AppendToString(&piece);
    if (const int error = journal_->write(journal_octets_, piece); error != 0)
        return failed(journal_name, error);
    journal_octets_ += piece.size();
    return {};
}

/// One that is whole is done, again where that was cut off; any other is forgotten.
Result<void> Replica::finish_journal()
{
    if (mark_.progress == Progress::catching_up) {
        std::unique_ptr<spool::File> journal;
        std::uint64_t size = 0;
        int error = files_.open(journal_name, spool::Open::read_only, journal);
        if (error == 0)
            error = journal->size(size);
        std::string piece;
        for (std::uint64_t at = 0; error == 0 && at < size;) {
            std::string head(4, '\0');
            std::size_t got = 0, length = 0;
            error = journal->read(at, head, got);
            for (const char octet : head)
                length = length << 8 | static_cast<unsigned char>(octet);
            if (error == 0 && (got < head.size() || length > longest_piece))
                return Error{fmt::format("{} is damaged", journal_name), "4.3.0"};
            piece.resize(length);
            if (error == 0)
                error = journal->read(at + head.size(), piece, got);
            if (error != 0)
                break;
            Operations said;
            if (got < length || !said.ParseFromString(piece))
                return Error{fmt::format("{} is damaged", journal_name), "4.3.0"};
            for (const Operation& operation : said.operations())
                if (operation.what_case() != Operation::kSync && operation.what_case() != Operation::kCopied)
                    TRY_VOID(make(operation));
            at += head.size() + length;
        }
        if (error != 0)
            return failed(journal_name, error);
        TRY_VOID(sync());
        mark_.progress = Progress::whole;
        TRY_VOID(write_copy_mark(files_, mark_));
    }
    if (const int error = files_.remove(journal_name); error != 0 && error != ENOENT)
        return failed(journal_name, error);
    return {};
}

Result<spool::File*> Replica::file_of(const std::string& name)
{
#ifndef POSTHORN_PLANT_BUG_standby  // any name is written to (scripts/fuzz-planted)
    if (!is_copied(name))
        return strange("a name that belongs to no copy");
#endif
    const auto found = open_.find(name);
    if (found != open_.end())
        return found->second.get();
    if (open_.size() >= most_open)
        TRY_VOID(sync());                                  // which closes them
    std::unique_ptr<spool::File> file;
    bool exists = false;
    int error = files_.exists(name, exists);
    if (error == 0 && !exists)
        folders_.insert(folder_of(name));
    if (error == 0)
        error = files_.open(name, spool::Open::create, file);
    if (error != 0)
        return failed(name, error);
    return open_.emplace(name, std::move(file)).first->second.get();
}

Result<void> Replica::make(const Operation& operation)
{
    const auto names = [&](const std::string& from, const std::string& to) -> Result<void> {
        if (!is_copied(from) || !is_copied(to))
            return strange("a name that belongs to no copy");
        for (const std::string& name : {from, to}) {
            open_.erase(name);
            folders_.insert(folder_of(name));
        }
        return {};
    };
    // What is told while the copy catches up may be of files that have gone since, and comes again from a journal that was cut off.
    const auto unless_gone = [](int error, std::string_view what) -> Result<void> {
        if (error != 0 && error != ENOENT)
            return failed(what, error);
        return {};
    };
    switch (operation.what_case()) {
    case Operation::kCreate: {
        TRY(const spool::File* const file, file_of(operation.create()));
        static_cast<void>(file);
        unsynced_.insert(operation.create());
        return {};
    }
    case Operation::kWrite: {
        const auto& write = operation.write();
        if (write.offset() > largest_file)
            return strange("a file without bound");
        TRY(spool::File* const file, file_of(write.name()));
        if (const int error = file->write(write.offset(), {write.octets().data(), write.octets().size()}); error != 0)
            return failed(write.name(), error);
        unsynced_.insert(write.name());
        return {};
    }
    case Operation::kTruncate: {
        const auto& truncate = operation.truncate();
        if (truncate.size() > largest_file)
            return strange("a file without bound");
        TRY(spool::File* const file, file_of(truncate.name()));
        if (const int error = file->truncate(truncate.size()); error != 0)
            return failed(truncate.name(), error);
        unsynced_.insert(truncate.name());
        return {};
    }
    case Operation::kRemove:
        TRY_VOID(names(operation.remove(), operation.remove()));
        unsynced_.erase(operation.remove());
        return unless_gone(files_.remove(operation.remove()), operation.remove());
    case Operation::kRename: {
        const auto& [from, to] = std::pair<const std::string&, const std::string&>(operation.rename().from(), operation.rename().to());
        TRY_VOID(names(from, to));
        if (unsynced_.erase(from) > 0)
            unsynced_.insert(to);
        return unless_gone(files_.rename(from, to), from);
    }
    case Operation::kLink: {
        const auto& [from, to] = std::pair<const std::string&, const std::string&>(operation.link().from(), operation.link().to());
        TRY_VOID(names(from, to));
        bool exists = false;
        if (const int error = files_.exists(from, exists); error != 0)
            return failed(from, error);
        if (!exists)
            return {};
        files_.remove(to);                                 // done again
        return unless_gone(files_.link(from, to), from);
    }
    case Operation::kFolder:
        if (operation.folder() != spool::incoming_folder)
            return strange("a folder that belongs to no copy");
        folders_.insert("");
        if (const int error = files_.make_folder(operation.folder()); error != 0 && error != EEXIST)
            return failed(operation.folder(), error);
        return {};
    case Operation::kSync:
    case Operation::kCopied: return {};
    case Operation::WHAT_NOT_SET: break;
    }
    return strange("an operation of a newer program");
}

Result<void> Replica::sync()
{
    for (const std::string& name : unsynced_) {
        const auto open = open_.find(name);
        std::unique_ptr<spool::File> reopened;
        spool::File* file = open == open_.end() ? nullptr : open->second.get();
        if (!file) {
            if (const int error = files_.open(name, spool::Open::read_write, reopened); error == ENOENT)
                continue;
            else if (error != 0)
                return failed(name, error);
            file = reopened.get();
        }
        if (const int error = file->sync(); error != 0)
            return failed(fmt::format("sync {}", name), error);
    }
    unsynced_.clear();
    for (const std::string& folder : folders_)
        if (const int error = files_.sync_folder(folder); error != 0 && error != ENOENT)
            return failed(fmt::format("sync the folder {}", folder), error);
    folders_.clear();
    if (open_.size() >= most_open)
        open_.clear();
    return {};
}

Result<Lineage> promote(spool::FileOps& files, std::string_view host, const Clock& clock)
{
    TRY(const auto mark, read_copy_mark(files));
    if (!mark)
        return Error{"there is no copy of a queue here", "4.3.0"};
    if (mark->progress == Progress::partial)
        return Error{fmt::format("the copy of the queue of {} has never been whole", mark->of.host), "4.3.0"};
    {
        TRY(const auto finished, Replica::open(files, clock));
        static_cast<void>(finished);
    }
    TRY(const auto lock, take_folder(files));
    // First the epoch, then the mark: one that is cut off in between is promoted again, which does no harm.
    Lineage lineage{.identity = mark->of.identity, .epoch = mark->of.epoch + 1, .since = clock.wall(), .host = std::string(host)};
    TRY_VOID(write_lineage(files, lineage));
    int error = files.remove(copy_name);
    if (error == 0)
        error = files.sync_folder("");
    if (error != 0)
        return failed(copy_name, error);
    return lineage;
}

}  // namespace posthorn::standby
