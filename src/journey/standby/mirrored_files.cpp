#include "standby/mirrored_files.hpp"

#include "spool/incoming.hpp"
#include "standby/mirror.hpp"

#include <algorithm>
#include <cerrno>

namespace posthorn::standby {

namespace {

constexpr std::size_t largest_write = 2U << 20;

class MirroredFile final : public spool::File {
public:
    MirroredFile(std::unique_ptr<spool::File> file, std::string name, bool writes, Mirror& mirror)
        : file_(std::move(file)), name_(std::move(name)), writes_(writes), mirror_(mirror)
    {
    }

    int read(std::uint64_t offset, std::span<char> into, std::size_t& got) override { return file_->read(offset, into, got); }
    /// In pieces that fit into a frame: a file that is written as a whole may be large.
    int write(std::uint64_t offset, std::span<const char> octets) override
    {
        do {
            const std::span<const char> piece = octets.first(std::min(octets.size(), largest_write));
            const int error = mirror_.change([&] { return file_->write(offset, piece); },
                                             [&](Operation& operation) {
                                                 Operation::Write& write = *operation.mutable_write();
                                                 write.set_name(name_);
                                                 write.set_offset(offset);
                                                 write.set_octets(piece.data(), piece.size());
                                             });
            if (error != 0)
                return error;
            offset += piece.size();
            octets = octets.subspan(piece.size());
        } while (!octets.empty());
        return 0;
    }
    int truncate(std::uint64_t size) override
    {
        return mirror_.change([&] { return file_->truncate(size); },
                              [&](Operation& operation) {
                                  operation.mutable_truncate()->set_name(name_);
                                  operation.mutable_truncate()->set_size(size);
                              });
    }
    int size(std::uint64_t& size) override { return file_->size(size); }
    int sync() override
    {
        const std::uint64_t number = mirror_.begin_sync(writes_);
        const int error = file_->sync();
        if (error == 0)
            mirror_.wait(number);
        return error;
    }
    int lock() override { return file_->lock(); }
    int lock_shared() override { return file_->lock_shared(); }
    int descriptor() const override { return file_->descriptor(); }

private:
    std::unique_ptr<spool::File> file_;
    const std::string name_;
    const bool writes_;
    Mirror& mirror_;
};

class MirroredFiles final : public spool::FileOps {
public:
    MirroredFiles(spool::FileOps& files, Mirror& mirror) : files_(files), mirror_(mirror) {}

    int open(std::string_view name, spool::Open how, std::unique_ptr<spool::File>& file) override
    {
        if (!is_copied(name))
            return files_.open(name, how, file);
        std::unique_ptr<spool::File> opened;
        const auto make = [&] { return files_.open(name, how, opened); };
        const bool creates = how == spool::Open::create || how == spool::Open::create_new;
        const int error = creates ? mirror_.change_name(name, make, [&](Operation& operation) { operation.set_create(std::string(name)); }) : make();
        if (error == 0)
            file = std::make_unique<MirroredFile>(std::move(opened), std::string(name), how != spool::Open::read_only, mirror_);
        return error;
    }
    int remove(std::string_view name) override
    {
        const auto make = [&] { return files_.remove(name); };
        return is_copied(name) ? mirror_.change_name(name, make, removed(name)) : make();
    }
    int rename(std::string_view from, std::string_view to) override
    {
        return pair(
            from, to, [&] { return files_.rename(from, to); },
            [&](Operation& operation) {
                operation.mutable_rename()->set_from(std::string(from));
                operation.mutable_rename()->set_to(std::string(to));
            });
    }
    int link(std::string_view from, std::string_view to) override
    {
        if (!is_copied(to))                                // a backup
            return files_.link(from, to);
        return pair(
            from, to, [&] { return files_.link(from, to); },
            [&](Operation& operation) {
                operation.mutable_link()->set_from(std::string(from));
                operation.mutable_link()->set_to(std::string(to));
            });
    }
    int make_folder(std::string_view name) override
    {
        const auto make = [&] { return files_.make_folder(name); };
        return name == spool::incoming_folder ? mirror_.change(make, [&](Operation& operation) { operation.set_folder(std::string(name)); }) : make();
    }
    int list(std::string_view folder, std::vector<spool::Entry>& entries) override { return files_.list(folder, entries); }
    int exists(std::string_view name, bool& yes) override { return files_.exists(name, yes); }
    int set_aside(std::string_view name, std::string_view spare, std::uint64_t most) override
    {
        const auto make = [&] { return files_.set_aside(name, spare, most); };
        return is_copied(name) ? mirror_.change_name(name, make, removed(name)) : make();
    }
    /// A receiver's: its file belongs to the queue when take_in() says so.
    int take_spare(std::string_view spare, std::string_view name, std::unique_ptr<spool::File>& file) override
    {
        return files_.take_spare(spare, name, file);
    }
    int take_in(std::string_view name) override
    {
        if (const int error = files_.take_in(name); error != 0)
            return error;
        return mirror_.take_in(name);
    }
    int sync_folder(std::string_view name) override
    {
        if (!name.empty() && name != spool::incoming_folder)
            return files_.sync_folder(name);
        const std::uint64_t number = mirror_.begin_sync(true);
        const int error = files_.sync_folder(name);
        if (error == 0)
            mirror_.wait(number);
        return error;
    }
    std::uint64_t free_octets() override { return files_.free_octets(); }

private:
    static std::function<void(Operation&)> removed(std::string_view name)
    {
        return [name = std::string(name)](Operation& operation) { operation.set_remove(name); };
    }

    /// Two names, of which the copy may know one.
    int pair(std::string_view from, std::string_view to, const std::function<int()>& make, const std::function<void(Operation&)>& describe)
    {
        if (is_copied(from) && is_copied(to))
            return mirror_.change_name(to, make, describe);
        if (is_copied(from))
            return mirror_.change_name(from, make, removed(from));
        if (!is_copied(to))
            return make();
        const int error = make();                          // from what the copy does not have: as a receiver's file
        return error != 0 ? error : mirror_.take_in(to);
    }

    spool::FileOps& files_;
    Mirror& mirror_;
};

}  // namespace

std::unique_ptr<spool::FileOps> mirrored_files(spool::FileOps& files, Mirror& mirror) { return std::make_unique<MirroredFiles>(files, mirror); }

}  // namespace posthorn::standby
