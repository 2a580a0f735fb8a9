// receive/screen/screen_test.hpp: a house whose clients are tested before the greeting, and what its log says of that.
#pragma once

#include "receive/policy/policy_test.hpp"

#include <fmt/format.h>

namespace posthorn::receive::testing::screening {

using screen::Passed;

inline Options screened(Settings more = {})
{
    more.emplace_back("smtpd_screen_clients", "yes");
    return options_of(std::move(more));
}

inline constexpr std::string_view teaser = "220-mx.example.test ESMTP Posthorn\r\n";
inline constexpr std::string_view greeting = "220 mx.example.test ESMTP Posthorn\r\n";

inline dns::Answer answered(std::vector<std::string_view> addresses, std::chrono::seconds ttl = std::chrono::seconds{600})
{
    dns::Answer answer;
    answer.status = dns::Status::found;
    answer.ttl = ttl;
    for (const std::string_view address : addresses) {
        dns::Record& record = answer.records.emplace_back();
        record.type = dns::Type::a;
        record.address = net::IpAddress::parse(address).value_or(net::IpAddress());
    }
    return answer;
}

/// The log of the tests alone, without times and the words before a port.
inline std::string lines(const House& house)
{
    std::string text;
    for (std::string line : house.sink->lines) {
        if (!line.starts_with("postfix/postscreen: "))
            continue;
        line.erase(0, line.find(": ") + 2);
        if (const auto after = line.find(" after "); after != line.npos && (line.starts_with("PREGREET") || line.starts_with("HANGUP")))
            line.erase(after, line.find(" from") - after);
        text += line + "\n";
    }
    return text;
}

inline constexpr std::string_view come = "CONNECT from [192.0.2.1]:40000 to [192.0.2.2]:25\n";
inline std::string came(std::string_view rest) { return std::string(come) + std::string(rest); }

/// What all processes know together.
struct FakeRemembered final : screen::Remembered {
    awaitable<std::optional<Passed>> find(std::string address) override
    {
        asked.push_back(address);
        const auto found = known.find(address);
        co_return found == known.end() ? std::nullopt : std::optional(found->second);
    }
    void tell(const std::string& address, const Passed& passed) override { told[address] = passed; }
    std::vector<std::string> asked;
    std::map<std::string, Passed> known, told;
};

}  // namespace posthorn::receive::testing::screening
