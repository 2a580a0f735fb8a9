// standby/holdings.hpp: which files of the spool's folder belong to a copy, and what a copy has of them already.
// Sums     SHA-256, cut to 16 octets, of each block of 64 KiB: what a copy that was away has still need not be sent again. Mail is anybody's, so a hash that two contents
//          can be made for would not do.
#pragma once

#include "base/error.hpp"
#include "spool/file_ops.hpp"

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::standby {

inline constexpr std::size_t block_octets = 64U << 10, sum_octets = 16;

/// Files of the folder itself and of "incoming": all but the lock, spares, snapshots, and what a copy keeps of itself. Nothing that leads out of the folder.
bool is_copied(std::string_view name);

std::string sum_of(std::string_view block);

struct HeldFile {
    std::uint64_t size = 0;
    std::string sums;  // sum_octets for each block
    /// Empty: it has no such block, or only a part of it.
    std::string_view sum(std::uint64_t block) const
    {
        return (block + 1) * sum_octets <= sums.size() ? std::string_view(sums).substr(block * sum_octets, sum_octets) : std::string_view{};
    }
};
using Holdings = std::map<std::string, HeldFile, std::less<>>;

/// Names of the files that belong to a copy.
Result<std::vector<std::string>> copied_files(spool::FileOps& files);

/// Reads a file and tells of its blocks, at most `at_once` of them a call: first_block, and their sums.
Result<void> sum_file(spool::FileOps& files, const std::string& name, std::size_t at_once,
                      const std::function<Result<void>(std::uint64_t size, std::uint64_t first_block, std::string sums)>& tell);

}  // namespace posthorn::standby
