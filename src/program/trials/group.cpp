#include "trials/group.hpp"

#include "base/strings.hpp"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <vector>

namespace posthorn::trials {

namespace {

bool is_address(std::string_view text)
{
    std::array<unsigned char, 16> octets{};
    const std::string word(text);
    return ::inet_pton(AF_INET, word.c_str(), octets.data()) == 1 || ::inet_pton(AF_INET6, word.c_str(), octets.data()) == 1;
}

std::string network_of(const std::string& address)
{
    std::array<unsigned char, 16> octets{};
    std::array<char, INET6_ADDRSTRLEN> text{};
    if (::inet_pton(AF_INET, address.c_str(), octets.data()) == 1) {
        octets[3] = 0;
        return std::string(::inet_ntop(AF_INET, octets.data(), text.data(), text.size())) + "/24";
    }
    if (::inet_pton(AF_INET6, address.c_str(), octets.data()) != 1)
        return address;
    std::fill(octets.begin() + 8, octets.end(), 0);
    return std::string(::inet_ntop(AF_INET6, octets.data(), text.data(), text.size())) + "/64";
}

bool is_word(char c) { return is_alnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '@' || c == '+' || c == '='; }

/// Domains and addresses of one mail.
std::vector<std::string_view> particulars(const handoff::TrialSample& sample)
{
    std::vector<std::string_view> all;
    for (const std::string_view address : {std::string_view(sample.sender()), std::string_view(sample.recipient())}) {
        all.push_back(address);
        if (const auto at = address.rfind('@'); at != address.npos)
            all.push_back(address.substr(at + 1));
    }
    const std::string_view peer = sample.peer();
    all.push_back(peer.substr(0, peer.find('[')));
    std::erase_if(all, [](std::string_view one) { return one.empty() || one == "unknown"; });
    return all;
}

}  // namespace

std::string client_group(std::string_view name, std::string_view address)
{
    if (name.empty() || name == "unknown")
        return network_of(std::string(address));
    const std::string lower = to_lower(name);
    const auto labels = split_exact(lower, '.');
    // "example.co.uk" is no host of co.uk.
    const bool national = labels.size() == 3 && labels[2].size() == 2 && labels[1].size() <= 3;
    return labels.size() < 3 || national ? lower : lower.substr(labels.front().size() + 1);
}

std::string general_reason(std::string_view reply, const handoff::TrialSample& sample)
{
    const auto own = particulars(sample);
    std::string general;
    for (std::size_t at = 0; at < reply.size();) {
        const char c = reply[at];
        const auto end = c == '<' || c == '[' ? reply.find(c == '<' ? '>' : ']', at) : reply.npos;
        if (end != reply.npos) {
            general += c == '<' ? "<*>" : "[*]";
            at = end + 1;
        } else if (c == '?' && at + 1 < reply.size() && !is_space(reply[at + 1])) {
            general += "?*";
            at = std::min(reply.find_first_of(" \t)", at), reply.size());
        } else if (!is_word(c)) {
            general += c;
            ++at;
        } else {
            const auto stop = std::find_if_not(reply.begin() + static_cast<std::ptrdiff_t>(at), reply.end(), is_word);
            std::string_view word = reply.substr(at, static_cast<std::size_t>(stop - reply.begin()) - at);
            at += word.size();
            std::string_view behind;                                  // of a sentence
            while (word.size() > 1 && (word.back() == '.' || word.back() == ':') && !is_address(word)) {
                behind = std::string_view(word.end() - 1, behind.size() + 1);
                word.remove_suffix(1);
            }
            const bool number = !general.empty() && std::ranges::all_of(word, is_digit);
            const bool particular = number || word.find('@') != word.npos || is_address(word) ||
                                    std::ranges::any_of(own, [&](std::string_view one) { return iequals(one, word); });
            general += particular ? std::string_view("*") : word;
            general += behind;
        }
    }
    return general.substr(0, reason_octets);
}

}  // namespace posthorn::trials
