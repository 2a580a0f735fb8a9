// mailauth/scripted_dns.hpp: an Ask for tests: a zone as text, and what was asked.
// Zone     "example.test TXT v=spf1 -all", "example.test A 192.0.2.1", "x MX host", "x PTR host", "x FAIL" (for now) one a line; TXT to the end of the
//          line. What is not there does not exist; a name with records of other types is there.
#pragma once

#include "base/strings.hpp"
#include "mailauth/finding.hpp"

#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::mailauth {

class ScriptedDns {
public:
    explicit ScriptedDns(std::string_view zone)
    {
        for (const std::string_view line : split(zone, "\n")) {
            const std::string_view trimmed = trim(line);
            if (trimmed.empty())
                continue;
            const auto words = split(trimmed, " ");
            if (words.size() < 2)
                throw std::runtime_error("a line of the zone is short");
            const std::string_view value =
                words.size() > 2 ? trimmed.substr(static_cast<std::size_t>(words[2].data() - trimmed.data())) : std::string_view();
            add(to_lower(words[0]), words[1], value);
        }
    }

    Ask ask()
    {
        return [this](std::string name, dns::Type type) { return answer(std::move(name), type); };
    }

    /// "TXT example.test", in the order they were asked.
    std::vector<std::string> asked;

private:
    void add(const std::string& name, std::string_view type, std::string_view value)
    {
        if (type == "FAIL") {
            names_[name].fails = true;
            return;
        }
        dns::Record record;
        record.type = dns::type_of(type).value();
        if (record.type == dns::Type::txt)
            record.text = value;
        else if (record.type == dns::Type::a || record.type == dns::Type::aaaa)
            record.address = net::IpAddress::parse(value).value();
        else
            record.host = value == "." ? std::string_view() : value;
        names_[name].records.push_back(record);
    }
    awaitable<dns::Answer> answer(std::string name, dns::Type type)
    {
        asked.push_back(std::string(dns::type_name(type)) + " " + name);
        dns::Answer made;
        const auto found = names_.find(to_lower(name));
        made.status = found == names_.end() ? dns::Status::nxdomain : found->second.fails ? dns::Status::temporary : dns::Status::nodata;
        if (made.status != dns::Status::nodata)
            co_return made;
        for (const dns::Record& record : found->second.records)
            if (record.type == type)
                made.records.push_back(record);
        if (!made.records.empty())
            made.status = dns::Status::found;
        co_return made;
    }

    struct Name {
        bool fails = false;
        std::vector<dns::Record> records;
    };
    std::map<std::string, Name> names_;
};

}  // namespace posthorn::mailauth
