#include "verify/sender.hpp"

#include "base/strings.hpp"

namespace posthorn::verify {

namespace {

constexpr std::string_view digits = "0123456789BCDFGHJKLMNPQRSTVWXYZ";      // no vowels: no words

std::string slot_text(std::int64_t slot)
{
    std::string text;
    do {
        text.insert(text.begin(), digits[static_cast<std::size_t>(slot % 31)]);
        slot /= 31;
    } while (slot > 0);
    return text;
}

std::int64_t slot_of(WallTime now, std::chrono::seconds life)
{
    return std::max<std::int64_t>(0, std::chrono::floor<std::chrono::seconds>(now).time_since_epoch() / life);
}

}  // namespace

ProbeSender::ProbeSender(std::string address, std::chrono::seconds life) : life_(life)
{
    const auto at = address.rfind('@');
    local_ = address.substr(0, at);
    domain_ = at == address.npos ? "" : address.substr(at);
}

std::string ProbeSender::at(WallTime now) const { return timed() ? local_ + slot_text(slot_of(now, life_)) + domain_ : local_ + domain_; }

std::optional<std::string> ProbeSender::plain(std::string_view address, WallTime now) const
{
    if (local_.empty() || !istarts_with(address, local_))
        return std::nullopt;                              // mail from <> is everybody's
    const auto is = [&](std::string_view slot) { return iequals(address, local_ + std::string(slot) + domain_); };
    const std::int64_t now_slot = timed() ? slot_of(now, life_) : 0;
    const bool ours = timed() ? is(slot_text(now_slot)) || is(slot_text(now_slot + 1)) || (now_slot > 0 && is(slot_text(now_slot - 1))) : is("");
    return ours ? std::optional{local_ + domain_} : std::nullopt;
}

}  // namespace posthorn::verify
