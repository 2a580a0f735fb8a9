#include "mailauth/body_hashes.hpp"

#include <algorithm>

namespace posthorn::mailauth {

namespace {

constexpr std::size_t piece_of_body = 32 * 1024;

}  // namespace

const BodyHashes::One* BodyHashes::want(Canonical how, std::optional<std::uint64_t> most, std::size_t limit)
{
    const auto known = std::ranges::find_if(all_, [&](const auto& one) { return one->how == how && one->most == most; });
    if (known != all_.end())
        return known->get();
    return all_.size() < limit ? all_.emplace_back(std::make_unique<One>(how, most)).get() : nullptr;
}

void BodyHashes::add(std::string_view body)
{
    for (; !body.empty(); body.remove_prefix(std::min(body.size(), piece_of_body)))
        for (const auto& one : all_)
            one->hash.add(body.substr(0, piece_of_body));
}

void BodyHashes::finish()
{
    for (const auto& one : all_)
        one->value = one->hash.finish();
}

std::size_t BodyHashes::held() const { return all_.size() * piece_of_body; }

}  // namespace posthorn::mailauth
