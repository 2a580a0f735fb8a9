#include "handoff/queue_id.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace posthorn::handoff {

namespace {

/// Digits of Postfix's long ids: 0-9, then the consonants, upper case first. Base 51 leaves out the last, 'z', which separates.
constexpr std::string_view digits = "0123456789BCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz";
static_assert(digits.size() == 52);

std::string in_base(std::uint64_t number, std::uint64_t base, std::size_t width)
{
    std::string text;
    do {
        text += digits[number % base];
        number /= base;
    } while (number > 0);
    while (text.size() < width)
        text += digits[0];
    std::ranges::reverse(text);
    return text;
}

std::optional<std::uint64_t> from_base(std::string_view text, std::uint64_t base)
{
    std::uint64_t number = 0;
    for (const char c : text) {
        const std::size_t digit = digits.find(c);
        if (digit >= base || number > (UINT64_MAX - digit) / base)
            return std::nullopt;
        number = number * base + digit;
    }
    return number;
}

std::uint64_t seconds_of(WallTime when) { return static_cast<std::uint64_t>(when.time_since_epoch().count()) / 1'000'000; }

std::uint64_t micros_of(WallTime when) { return static_cast<std::uint64_t>(when.time_since_epoch().count()) % 1'000'000; }

constexpr std::size_t seconds_width = 6, micros_width = 4;

}  // namespace

std::string short_queue_id(WallTime when, std::uint64_t sequence) { return fmt::format("{:05X}{:X}", micros_of(when), sequence); }

std::string long_queue_id(WallTime when, std::uint64_t sequence)
{
    return in_base(seconds_of(when), 52, seconds_width) + in_base(micros_of(when), 52, micros_width) + 'z' + in_base(sequence, 51, 1);
}

std::optional<WallTime> queue_id_time(std::string_view id)
{
    const std::size_t z = id.rfind('z');
    if (z == id.npos || z < seconds_width + micros_width || z + 1 == id.size() || !from_base(id.substr(z + 1), 51))
        return std::nullopt;
    const auto seconds = from_base(id.substr(0, z - micros_width), 52);
    const auto micros = from_base(id.substr(z - micros_width, micros_width), 52);
    if (!seconds || !micros || *micros >= 1'000'000 || *seconds > 1'000'000'000'000)
        return std::nullopt;
    return WallTime{std::chrono::microseconds{static_cast<std::int64_t>(*seconds * 1'000'000 + *micros)}};
}

bool is_queue_id(std::string_view text)
{
    const auto is_hex = [](char c) { return is_digit(c) || (c >= 'A' && c <= 'F'); };
    return queue_id_time(text) || (text.size() > 5 && text.size() <= 21 && std::ranges::all_of(text, is_hex));
}

std::optional<std::uint64_t> queue_id_sequence(std::string_view id)
{
    if (queue_id_time(id))
        return from_base(id.substr(id.rfind('z') + 1), 51);
    if (!is_queue_id(id))
        return std::nullopt;
    std::uint64_t sequence = 0;
    for (const char c : id.substr(5)) {
        if (sequence >> 60)
            return std::nullopt;
        sequence = sequence << 4 | static_cast<std::uint64_t>(is_digit(c) ? c - '0' : c - 'A' + 10);
    }
    return sequence;
}

std::optional<std::string> QueueIds::next(WallTime when)
{
    if (at_ == end_) {
        if (next_count_ == 0)
            return std::nullopt;
        at_ = next_block_;
        end_ = next_block_ + next_count_;
        next_count_ = 0;
    }
    const std::uint64_t sequence = at_++;
    return long_form_ ? long_queue_id(when, sequence) : short_queue_id(when, sequence);
}

}  // namespace posthorn::handoff
