// spool/hash.hpp: 64 bits that change when content does. Finds damage by a disk, not forgery by a person; stored beside each inline
// content, because SQLite does not notice when the inside of an overflow page rots.
// Units    1 octet takes about 0.1 ns: four lanes, so that the multiplications overlap.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string_view>

namespace posthorn::spool {

inline std::uint64_t content_hash(std::string_view octets)
{
    constexpr std::uint64_t odd = 0x9E3779B97F4A7C15;          // 2^64 / golden ratio
    std::uint64_t lanes[4] = {odd, odd * 3, odd * 5, octets.size()};
    const auto mix = [](std::uint64_t lane, std::uint64_t word) { return std::rotl((lane ^ word) * odd, 29); };
    const auto word_at = [&](std::size_t at, std::size_t length) {
        std::uint64_t word = 0;
        std::memcpy(&word, octets.data() + at, length);
        return word;
    };
    std::size_t at = 0;
    for (; at + 32 <= octets.size(); at += 32)
        for (std::size_t lane = 0; lane < 4; ++lane)
            lanes[lane] = mix(lanes[lane], word_at(at + lane * 8, 8));
    for (; at + 8 <= octets.size(); at += 8)
        lanes[0] = mix(lanes[0], word_at(at, 8));
    if (at < octets.size())
        lanes[1] = mix(lanes[1], word_at(at, octets.size() - at));
    std::uint64_t hash = 0;
    for (const std::uint64_t lane : lanes)
        hash = mix(hash, lane ^ lane >> 31);
    return hash ^ hash >> 32;
}

}  // namespace posthorn::spool
