#include "standby/holdings.hpp"

#include "spool/incoming.hpp"
#include "spool/opening.hpp"
#include "standby/lineage.hpp"
#include "tls/digest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cerrno>

namespace posthorn::standby {

namespace {

bool is_plain(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_'; }

}  // namespace

bool is_copied(std::string_view name)
{
    constexpr std::size_t longest = 200;
    const bool incoming = name.starts_with(spool::incoming_folder) && name.substr(spool::incoming_folder.size()).starts_with('/');
    if (incoming)
        name.remove_prefix(spool::incoming_folder.size() + 1);
    if (name.empty() || name.size() > longest || name.front() == '.' || !std::ranges::all_of(name, is_plain))
        return false;
    if (incoming)
        return !spool::is_spare(name);
    return name != spool::lock_name && name != spool::incoming_folder && !name.starts_with("snapshot-") && !name.starts_with(copy_name) &&
           name != journal_name;
}

std::string sum_of(std::string_view block) { return tls::digest(tls::Digest::sha256, block).substr(0, sum_octets); }

Result<std::vector<std::string>> copied_files(spool::FileOps& files)
{
    std::vector<std::string> names;
    for (const std::string& folder : {std::string(), std::string(spool::incoming_folder)}) {
        std::vector<spool::Entry> entries;
        if (const int error = files.list(folder, entries); error == ENOENT)
            continue;
        else if (error != 0)
            return Error{fmt::format("read the folder {}: {}", folder.empty() ? "of the queue" : folder, errno_text(error)), "4.3.0"};
        for (const spool::Entry& entry : entries) {
            std::string name = folder.empty() ? entry.name : spool::incoming_name(entry.name);
            if (!entry.folder && is_copied(name))
                names.push_back(std::move(name));
        }
    }
    std::ranges::sort(names);
    return names;
}

Result<void> sum_file(spool::FileOps& files, const std::string& name, std::size_t at_once,
                      const std::function<Result<void>(std::uint64_t, std::uint64_t, std::string)>& tell)
{
    std::unique_ptr<spool::File> file;
    std::uint64_t size = 0;
    int error = files.open(name, spool::Open::read_only, file);
    if (error == 0)
        error = file->size(size);
    std::string block(block_octets, '\0'), sums;
    std::uint64_t first = 0, at = 0;
    for (; error == 0 && at * block_octets < size; ++at) {
        std::size_t got = 0;
        error = file->read(at * block_octets, block, got);
        sums += sum_of(std::string_view(block).substr(0, got));
        if (error == 0 && at + 1 - first == at_once) {
            TRY_VOID(tell(size, first, std::exchange(sums, {})));
            first = at + 1;
        }
    }
    if (error != 0)
        return Error{fmt::format("read {}: {}", name, errno_text(error)), "4.3.0"};
    if (!sums.empty() || size == 0)
        return tell(size, first, std::move(sums));
    return {};
}

}  // namespace posthorn::standby
