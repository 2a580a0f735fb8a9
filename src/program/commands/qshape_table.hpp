// commands/qshape_table.hpp: how many addresses of each domain wait, and for how long.                                qshape(1)
// Shape    columns: the domain, right-aligned; T, all; then one for each range of ages. Ranges double in length (0 to first, first to twice
//          that, to four times, ...) or, linear, are equal; the last has no end. Rows: most addresses first, then the shorter name.
// Units    ages and `first` in minutes, columns in characters; the table is at least 80 wide.
// Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::commands {

struct QshapeOptions {
    bool parents = false, linear = false;
    int buckets = 9;                       // ranges with an end
    int first = 5;
    int width = 80;
    std::size_t least_subdomains = 5;      // of a parent domain that is shown
};

class QshapeTable {
public:
    explicit QshapeTable(QshapeOptions options) : options_(options) {}
    /// The domain of an address, in lower case; "MAILER-DAEMON" of the null sender.
    static std::string domain_of(std::string_view address);
    void add(std::string_view domain, std::chrono::minutes age);
    std::string text() const;

private:
    using Counts = std::vector<std::uint64_t>;     // the sum, then one for each range

    QshapeOptions options_;
    std::map<std::string, Counts, std::less<>> domains_;
};

}  // namespace posthorn::commands
