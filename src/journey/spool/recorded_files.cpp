#include "spool/recorded_files.hpp"

#include <algorithm>
#include <cerrno>

namespace posthorn::spool {

namespace {

constexpr std::uint64_t sector = 512;

}  // namespace

class RecordedFiles::Handle final : public File {
public:
    Handle(RecordedFiles& files, std::string name, Node node, bool writable)
        : files_(files), name_(std::move(name)), node_(std::move(node)), writable_(writable), heard_(node_->failures)
    {
    }
    ~Handle() override
    {
        const std::lock_guard lock(files_.mutex_);
        if (locked_)
            node_->locked = false;
        node_->shared -= shared_;
    }

    int read(std::uint64_t offset, std::span<char> into, std::size_t& got) override
    {
        const std::lock_guard lock(files_.mutex_);
        got = offset >= node_->cache.size() ? 0 : node_->cache.copy(into.data(), into.size(), offset);
        return 0;
    }

    int write(std::uint64_t offset, std::span<const char> octets) override
    {
        return change(Operation::Kind::write, {offset, std::string(octets.data(), octets.size()), false});
    }

    int truncate(std::uint64_t size) override { return change(Operation::Kind::truncate, {size, {}, true}); }

    int size(std::uint64_t& size) override
    {
        const std::lock_guard lock(files_.mutex_);
        size = node_->cache.size();
        return 0;
    }

    int sync() override
    {
        std::size_t covered = 0;
        {
            const std::lock_guard lock(files_.mutex_);
            covered = files_.number_;
        }
        if (files_.delay)
            files_.delay(name_);
        const std::lock_guard lock(files_.mutex_);
        if (heard_ != node_->failures) {
            heard_ = node_->failures;
            return EIO;
        }
        Operation operation;
        if (const int error = files_.begin(Operation::Kind::sync, name_, operation)) {
            node_->pending.clear();
            heard_ = ++node_->failures;
            return error;
        }
        if (!files_.lying || !files_.lying(operation)) {
            const auto later = std::ranges::find_if(node_->pending, [&](const Pending& pending) { return pending.number > covered; });
            for (const Pending& pending : std::span(node_->pending.begin(), later))
                apply(node_->disk, pending);
            node_->pending.erase(node_->pending.begin(), later);
        }
        files_.end(operation);
        return 0;
    }

    int lock() override
    {
        const std::lock_guard lock(files_.mutex_);
        if (node_->locked)
            return EAGAIN;
        return node_->locked = locked_ = true, 0;
    }

    int lock_shared() override
    {
        const std::lock_guard lock(files_.mutex_);
        ++node_->shared;
        ++shared_;
        return 0;
    }

private:
    int change(Operation::Kind kind, Pending pending)
    {
        const std::lock_guard lock(files_.mutex_);
        if (!writable_)
            return EBADF;
        Operation operation;
        if (const int error = files_.begin(kind, name_, operation))
            return error;
        apply(node_->cache, pending);
        pending.number = operation.number;
        node_->pending.push_back(std::move(pending));
        files_.end(operation);
        return 0;
    }

    RecordedFiles& files_;
    std::string name_;
    Node node_;
    bool writable_, locked_ = false;
    std::size_t shared_ = 0;
    std::size_t heard_;                    // of the inode's failures
};

RecordedFiles::RecordedFiles() { folders_[""] = true; }

void RecordedFiles::apply(std::string& disk, const Pending& pending)
{
    if (pending.truncation) {
        disk.resize(pending.offset, '\0');
        return;
    }
    if (disk.size() < pending.offset + pending.octets.size())
        disk.resize(pending.offset + pending.octets.size(), '\0');
    disk.replace(pending.offset, pending.octets.size(), pending.octets);
}

std::string RecordedFiles::folder_of(std::string_view name)
{
    const std::size_t slash = name.rfind('/');
    return std::string(slash == name.npos ? std::string_view{} : name.substr(0, slash));
}

int RecordedFiles::begin(Operation::Kind kind, std::string_view name, Operation& operation)
{
    operation = {kind, std::string(name), ++number_};
    return before ? before(operation) : 0;
}

void RecordedFiles::end(const Operation& operation)
{
    syncs_ += operation.kind == Operation::Kind::sync;
    if (after)
        after(operation);
}

void RecordedFiles::change_name(std::string name, Node node, std::size_t group)
{
    name_changes_.push_back({name, node, folder_of(name), group});
    if (node)
        names_[std::move(name)] = std::move(node);
    else
        names_.erase(name);
}

int RecordedFiles::open(std::string_view name, Open how, std::unique_ptr<File>& file)
{
    const std::lock_guard lock(mutex_);
    auto found = names_.find(name);
    if (found != names_.end() && how == Open::create_new)
        return EEXIST;
    if (found == names_.end()) {
        if (how == Open::read_only || how == Open::read_write || !folders_.contains(folder_of(name)))
            return ENOENT;
        Operation operation;
        if (const int error = begin(Operation::Kind::create, name, operation))
            return error;
        change_name(std::string(name), std::make_shared<Inode>(), operation.number);
        end(operation);
        found = names_.find(name);
    }
    file = std::make_unique<Handle>(*this, std::string(name), found->second, how != Open::read_only);
    return 0;
}

int RecordedFiles::remove(std::string_view name)
{
    const std::lock_guard lock(mutex_);
    if (!names_.contains(name))
        return ENOENT;
    Operation operation;
    if (const int error = begin(Operation::Kind::remove, name, operation))
        return error;
    change_name(std::string(name), nullptr, operation.number);
    end(operation);
    return 0;
}

int RecordedFiles::rename(std::string_view from, std::string_view to)
{
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(from);
    if (found == names_.end())
        return ENOENT;
    Operation operation;
    if (const int error = begin(Operation::Kind::rename, from, operation))
        return error;
    const Node node = found->second;
    change_name(std::string(to), node, operation.number);
    change_name(std::string(from), nullptr, operation.number);
    end(operation);
    return 0;
}

int RecordedFiles::link(std::string_view from, std::string_view to)
{
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(from);
    if (found == names_.end())
        return ENOENT;
    if (names_.contains(to))
        return EEXIST;
    Operation operation;
    if (const int error = begin(Operation::Kind::link, to, operation))
        return error;
    const Node node = found->second;
    change_name(std::string(to), node, operation.number);
    end(operation);
    return 0;
}

int RecordedFiles::make_folder(std::string_view name)
{
    const std::lock_guard lock(mutex_);
    if (folders_.contains(name))
        return EEXIST;
    Operation operation;
    if (const int error = begin(Operation::Kind::make_folder, name, operation))
        return error;
    folders_[std::string(name)] = false;
    end(operation);
    return 0;
}

int RecordedFiles::list(std::string_view folder, std::vector<Entry>& entries)
{
    const std::lock_guard lock(mutex_);
    if (!folders_.contains(folder))
        return ENOENT;
    entries.clear();
    for (const auto& [name, node] : names_)
        if (folder_of(name) == folder)
            entries.push_back({folder.empty() ? name : name.substr(folder.size() + 1), std::chrono::hours{1}, false});
    return 0;
}

int RecordedFiles::exists(std::string_view name, bool& yes)
{
    const std::lock_guard lock(mutex_);
    yes = names_.contains(name) || folders_.contains(name);
    return 0;
}

int RecordedFiles::set_aside(std::string_view name, std::string_view spare, std::uint64_t most)
{
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(name);
    if (found == names_.end())
        return ENOENT;
    const Node node = found->second;
    if (node->cache.size() > most)
        return EFBIG;
    if (node->locked || node->shared > 0 || std::ranges::count(names_, node, [](const auto& named) { return named.second; }) > 1)
        return EBUSY;
    return names_.contains(spare) ? EEXIST : rename(name, spare);
}

int RecordedFiles::take_spare(std::string_view spare, std::string_view name, std::unique_ptr<File>& file)
{
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(spare);
    if (found == names_.end())
        return ENOENT;
    if (names_.contains(name))
        return EEXIST;
    auto taken = std::make_unique<Handle>(*this, std::string(name), found->second, true);
    if (const int error = taken->lock())
        return error;
    if (const int error = rename(spare, name))
        return error;
    ++taken_;
    file = std::move(taken);
    return 0;
}

int RecordedFiles::sync_folder(std::string_view name)
{
    const std::lock_guard lock(mutex_);
    if (!folders_.contains(name))
        return ENOENT;
    Operation operation;
    if (const int error = begin(Operation::Kind::sync_folder, name, operation))
        return error;
    if (!lying || !lying(operation)) {
        for (auto& [folder, durable] : folders_)
            durable = durable || folder_of(folder) == name;
        std::erase_if(name_changes_, [&](const NameChange& change) {
            if (change.folder_of != name)
                return false;
            if (change.node)
                durable_names_[change.name] = change.node;
            else
                durable_names_.erase(change.name);
            return true;
        });
    }
    end(operation);
    return 0;
}

std::unique_ptr<RecordedFiles> RecordedFiles::power_loss(std::mt19937_64& random) const
{
    const std::lock_guard lock(mutex_);
    enum { nothing, everything, some, torn_tail };
    const auto mode = static_cast<int>(random() % 4);
    const auto survives = [&](std::size_t at, std::size_t last) {
        return mode == everything || (mode == some && random() % 2) || (mode == torn_tail && (at < last || (at == last && random() % 2)));
    };

    auto left = std::make_unique<RecordedFiles>();
    for (const auto& [folder, durable] : folders_)
        if (durable || mode == everything || (mode == some && random() % 2))
            left->folders_[folder] = true;
    auto names = durable_names_;
    const std::size_t last_group = name_changes_.empty() ? 0 : name_changes_[random() % name_changes_.size()].group;
    for (std::size_t i = 0; i < name_changes_.size();) {
        const std::size_t group = name_changes_[i].group;
        const bool done = survives(group, last_group);
        for (; i < name_changes_.size() && name_changes_[i].group == group; ++i) {
            if (done && name_changes_[i].node)
                names[name_changes_[i].name] = name_changes_[i].node;
            else if (done)
                names.erase(name_changes_[i].name);
        }
    }
    std::map<const Inode*, Node> copies;
    for (const auto& [name, node] : names) {
        if (!left->folders_.contains(folder_of(name)))
            continue;
        Node& copy = copies[node.get()];
        if (!copy) {
            copy = std::make_shared<Inode>();
            copy->disk = node->disk;
            const std::size_t last = node->pending.empty() ? 0 : random() % node->pending.size();
            for (std::size_t i = 0; i < node->pending.size(); ++i) {
                const Pending& pending = node->pending[i];
                if (mode == nothing || (mode == torn_tail && i > last))
                    break;
                if (pending.truncation) {
                    if (survives(i, last))
                        apply(copy->disk, pending);
                    continue;
                }
                for (std::uint64_t at = 0; at < pending.octets.size();) {
                    const std::uint64_t end =
                        std::min<std::uint64_t>(pending.octets.size(), ((pending.offset + at) / sector + 1) * sector - pending.offset);
                    if (survives(i, last))
                        apply(copy->disk, {pending.offset + at, pending.octets.substr(at, end - at), false});
                    at = end;
                }
            }
            copy->cache = copy->disk;
        }
        left->names_[name] = left->durable_names_[name] = copy;
    }
    return left;
}

void RecordedFiles::damage(std::string_view name, std::uint64_t offset, std::string_view octets)
{
    const std::lock_guard lock(mutex_);
    Inode& node = *names_.find(name)->second;
    apply(node.cache, {offset, std::string(octets), false});
    apply(node.disk, {offset, std::string(octets), false});
}

std::uint64_t RecordedFiles::size(std::string_view name) const
{
    const std::lock_guard lock(mutex_);
    const auto found = names_.find(name);
    return found == names_.end() ? 0 : found->second->cache.size();
}

}  // namespace posthorn::spool
