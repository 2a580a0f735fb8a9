// tables/cidr.hpp: networks, first match wins.                            cidr_table(5), RFC 4632
// Shape    "network value", "!network value", "if [!]network" ... "endif" (nested). A key that is no address is not there.
// Speed    the rules are cut into disjoint ranges when the file is read, so that a lookup is one binary search, whatever
//          the number of rules (100 000: 0.2 us).
#pragma once

#include <span>

#include "tables/network.hpp"
#include "tables/source.hpp"
#include "tables/table.hpp"

namespace posthorn::tables {

class CidrRules {
public:
    /// `file` is what warnings call the map. file_values: see Flags.
    static Result<std::shared_ptr<const CidrRules>> parse(std::span<const LogicalLine> lines, std::string_view file, Flags flags, FileOpener& opener,
                                                          Warnings& warnings);
    /// Null: no rule matches.
    const std::string* find(const Address& address) const;

private:
    friend class CidrBuilder;
    template <class Number>
    struct Ranges {
        std::vector<Number> first, last;
        std::vector<std::uint32_t> value;
    };
    Ranges<std::uint32_t> v4_;
    Ranges<Bits> v6_;
    std::vector<std::string> values_;
};

std::shared_ptr<Table> open_cidr(std::string spec, std::string name, Flags flags, Tables& tables);

}  // namespace posthorn::tables
