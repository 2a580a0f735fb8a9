#include "commands/qshape_table.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace posthorn::commands {

namespace {

struct Row {
    std::string name;
    const std::vector<std::uint64_t>* counts;
};

void sum_up(std::vector<std::uint64_t>& into, const std::vector<std::uint64_t>& counts)
{
    into.resize(counts.size());
    std::ranges::transform(into, counts, into.begin(), std::plus());
}

/// What does not fit shows its end: "+domain.test"; of a parent ".+domain.test".
std::string cut(const std::string& name, std::size_t width)
{
    if (name.size() <= width)
        return name;
    const std::string_view sign = name.starts_with('.') ? ".+" : "+";
    return std::string(sign) + name.substr(name.size() - (width - sign.size()));
}

}  // namespace

std::string QshapeTable::domain_of(std::string_view address)
{
    const auto at = address.rfind('@');
    return at == address.npos ? std::string(address.empty() ? "MAILER-DAEMON" : address) : to_lower(address.substr(at + 1));
}

void QshapeTable::add(std::string_view domain, std::chrono::minutes age)
{
    // Range 0 ends at `first`; the last of all `buckets` has no end.
    const long long last = options_.buckets;
    long long range = 0;
    for (long long end = options_.first; range < last && age.count() >= end; ++range)
        end = options_.linear ? end + options_.first : end * 2;
    Counts& counts = domains_[std::string(domain)];
    counts.resize(static_cast<std::size_t>(last) + 2);
    ++counts[0];
    ++counts[static_cast<std::size_t>(range) + 1];
}

std::string QshapeTable::text() const
{
    std::vector<std::string> labels{"T"};
    long long end = options_.buckets > 0 ? options_.first : 0;
    long long before = 0;
    for (int i = 0; i < options_.buckets; ++i) {
        labels.push_back(std::to_string(end));
        before = end;
        end = options_.linear ? end + options_.first : end * 2;
    }
    labels.push_back(fmt::format("{}+", before));

    Counts total(labels.size());
    std::map<std::string, Counts, std::less<>> parents;
    std::map<std::string, std::set<std::string, std::less<>>, std::less<>> children;
    for (const auto& [name, counts] : domains_) {
        sum_up(total, counts);
        std::string_view child = name;
        for (auto dot = child.find('.'); options_.parents && dot != child.npos; dot = child.find('.')) {
            const std::string_view parent = child.substr(dot + 1);
            if (parent.find('.') == parent.npos)                       // a top level domain says nothing
                break;
            sum_up(parents[std::string(parent)], counts);
            children[std::string(parent)].emplace(child);
            child = parent;
        }
    }
    std::vector<Row> rows;
    for (const auto& [name, counts] : domains_)
        rows.push_back({name, &counts});
    for (const auto& [name, counts] : parents)
        if (children.find(name)->second.size() >= options_.least_subdomains)
            rows.push_back({"." + name, &counts});
    std::ranges::sort(rows, [](const Row& left, const Row& right) {
        if (left.counts->front() != right.counts->front())
            return left.counts->front() > right.counts->front();
        return left.name.size() != right.name.size() ? left.name.size() < right.name.size() : left.name < right.name;
    });

    std::vector<std::size_t> widths;
    std::size_t taken = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) {
        widths.push_back(std::max({std::size_t{2}, labels[i].size(), std::to_string(total[i]).size()}) + 1);
        taken += widths.back();
    }
    const std::size_t wanted = static_cast<std::size_t>(std::max(options_.width, 80));
    const std::size_t name_width = std::max<std::size_t>(wanted > taken ? wanted - taken : 0, 18);
    std::string out;
    const auto line = [&](const std::string& name, auto value) {
        out += fmt::format("{:>{}}", cut(name, name_width), name_width);
        for (std::size_t i = 0; i < widths.size(); ++i)
            out += fmt::format("{:>{}}", value(i), widths[i]);
        out += '\n';
    };
    line("", [&](std::size_t i) { return labels[i]; });
    line("TOTAL", [&](std::size_t i) { return std::to_string(total[i]); });
    for (const Row& row : rows)
        line(row.name, [&](std::size_t i) { return std::to_string((*row.counts)[i]); });
    return out;
}

}  // namespace posthorn::commands
