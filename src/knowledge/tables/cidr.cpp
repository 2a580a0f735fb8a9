#include "tables/cidr.hpp"

#include "base/strings.hpp"
#include "tables/fixed.hpp"
#include "tables/rules_table.hpp"

#include <fmt/format.h>

namespace posthorn::tables {

namespace {

struct Range {
    Bits first, last;
};
/// Sorted, disjoint.
using RangeSet = std::vector<Range>;

RangeSet intersection(const RangeSet& set, Range with)
{
    RangeSet result;
    auto at = std::ranges::lower_bound(set, with.first, {}, &Range::last);
    for (; at != set.end() && at->first <= with.last; ++at)
        result.push_back({std::max(at->first, with.first), std::min(at->last, with.last)});
    return result;
}

/// What is taken so far, merged, and the pieces with the rule that took them. A rule gets what no rule before it took.
class Taken {
public:
    void add(Range range, std::uint32_t value)
    {
        auto at = merged_.upper_bound(range.first);              // the blocks that touch [first, last]
        if (at != merged_.begin() && std::prev(at)->second >= range.first)
            --at;
        Bits from = range.first, low = range.first, high = range.last;
        bool done = false;
        while (at != merged_.end() && at->first <= range.last) {
            if (at->first > from)
                pieces_.push_back({{from, at->first - 1}, value});
            low = std::min(low, at->first);
            high = std::max(high, at->second);
            done = at->second >= range.last;
            from = at->second + 1;                               // overflow only where done
            at = merged_.erase(at);
        }
        if (!done)
            pieces_.push_back({{from, range.last}, value});
        merged_.emplace(low, high);
    }
    struct Piece {
        Range range;
        std::uint32_t value;
    };
    std::vector<Piece> sorted()
    {
        std::ranges::sort(pieces_, {}, [](const Piece& piece) { return piece.range.first; });
        return std::move(pieces_);
    }

private:
    std::map<Bits, Bits> merged_;
    std::vector<Piece> pieces_;
};

struct Block {
    int line = 0;
    RangeSet v4, v6;              // the addresses for which the statements inside are looked at
};

constexpr Bits all_of(bool v6) { return v6 ? ~Bits{0} : Bits{0xffffffff}; }

/// The addresses of the network's family that the pattern matches.
RangeSet ranges_of(const Network& network, bool negated)
{
    if (!negated)
        return {{network.first, network.last}};
    RangeSet rest;
    if (network.first > 0)
        rest.push_back({0, network.first - 1});
    if (network.last < all_of(network.v6))
        rest.push_back({network.last + 1, all_of(network.v6)});
    return rest;
}

}  // namespace

class CidrBuilder {
public:
    CidrBuilder(std::string_view file, Flags flags, FileOpener& opener, Warnings& warnings)
        : file_(file), flags_(flags), opener_(opener), warnings_(warnings)
    {
        blocks_.push_back({0, {{0, all_of(false)}}, {{0, all_of(true)}}});
    }

    Result<void> add(const LogicalLine& line)
    {
        std::string_view rest = trim(line.text);
        const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
        if (iequals(word, "endif")) {
            if (blocks_.size() == 1)
                warn(line.number, "ENDIF without IF: skipping this rule");
            else
                blocks_.pop_back();
            return {};
        }
        const bool condition = iequals(word, "if");
        if (condition)
            rest = trim(rest.substr(2));
        bool negated = false;
        for (; rest.starts_with('!'); rest = trim(rest.substr(1)))
            negated = !negated;
        const std::string_view pattern = condition ? rest : rest.substr(0, rest.find_first_of(" \t"));
        const std::string_view value = condition ? std::string_view{} : trim(rest.substr(pattern.size()));
        const auto network = parse_network(pattern);
        if (!network) {
            warn(line.number, network.error().what() + ": skipping this rule");
            return {};
        }
        if (!condition && value.empty()) {
            warn(line.number, "no lookup result: skipping this rule");
            return {};
        }
        const RangeSet& around = network->v6 ? blocks_.back().v6 : blocks_.back().v4;
        RangeSet inside;
        for (const Range range : ranges_of(*network, negated))
            std::ranges::copy(intersection(around, range), std::back_inserter(inside));
        if (condition) {
            blocks_.push_back({line.number, {}, {}});
            (network->v6 ? blocks_.back().v6 : blocks_.back().v4) = std::move(inside);
            return {};
        }
        std::string result(value);
        if (flags_.file_values) {
            auto content = read_file_values(value, opener_);
            if (!content) {
                warn(line.number, content.error().what() + ": skipping this rule");
                return {};
            }
            result = std::move(*content);
        }
        const auto index = static_cast<std::uint32_t>(values_.size());
        values_.push_back(std::move(result));
        for (const Range range : inside)
            (network->v6 ? v6_ : v4_).add(range, index);
        return {};
    }

    std::shared_ptr<const CidrRules> finish()
    {
        for (std::size_t open = 1; open < blocks_.size(); ++open)
            warn(blocks_[open].line, "IF has no matching ENDIF");
        auto rules = std::make_shared<CidrRules>();
        rules->values_ = std::move(values_);
        fill(rules->v4_, v4_);
        fill(rules->v6_, v6_);
        return rules;
    }

private:
    template <class Number>
    static void fill(CidrRules::Ranges<Number>& ranges, Taken& taken)
    {
        for (const Taken::Piece& piece : taken.sorted()) {
            ranges.first.push_back(static_cast<Number>(piece.range.first));
            ranges.last.push_back(static_cast<Number>(piece.range.last));
            ranges.value.push_back(piece.value);
        }
    }
    void warn(int line, std::string_view text) { warnings_.push_back(fmt::format("cidr map {}, line {}: {}", file_, line, text)); }

    std::string_view file_;
    Flags flags_;
    FileOpener& opener_;
    Warnings& warnings_;
    std::vector<Block> blocks_;
    std::vector<std::string> values_;
    Taken v4_, v6_;
};

Result<std::shared_ptr<const CidrRules>> CidrRules::parse(std::span<const LogicalLine> lines, std::string_view file, Flags flags, FileOpener& opener,
                                                          Warnings& warnings)
{
    CidrBuilder builder(file, flags, opener, warnings);
    for (const LogicalLine& line : lines)
        TRY_VOID(builder.add(line));
    return builder.finish();
}

const std::string* CidrRules::find(const Address& address) const
{
    const auto in = [this]<class Number>(const Ranges<Number>& ranges, Number number) -> const std::string* {
        const auto after = std::ranges::upper_bound(ranges.first, number);
        if (after == ranges.first.begin())
            return nullptr;
        const auto index = static_cast<std::size_t>(after - ranges.first.begin()) - 1;
        return number <= ranges.last[index] ? &values_[ranges.value[index]] : nullptr;
    };
    return address.v6 ? in(v6_, address.bits) : in(v4_, static_cast<std::uint32_t>(address.bits));
}

namespace {

class CidrTable final : public RulesTable<CidrRules> {
public:
    using RulesTable::RulesTable;
    Answer find(std::string_view key) override
    {
        TRY(const CidrRules* now, rules());
        const auto address = parse_address(key);
        const std::string* value = address ? now->find(*address) : nullptr;
        if (value == nullptr)
            return std::nullopt;
        return *value;
    }
};

}  // namespace

std::shared_ptr<Table> open_cidr(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<CidrTable>(std::move(spec), name, flags, tables.site(), CidrRules::parse);
}

}  // namespace posthorn::tables
