// kumomta/value.hpp: a value of a policy: what a call of its Lua was given, or what a data file says.
// Shape    nothing, a yes or no, a number, text, a list, a table in the order it was written; `unknown`: something that is known in a running KumoMTA only,
//          its text says what. Each has the place where it stands (of a table of Lua that of the call).
// Limits   32 levels; a hundred thousand values of one file or call.
#pragma once

#include "migrate/translation.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::kumomta {

using migrate::Place;

inline constexpr int value_levels = 32;
inline constexpr std::size_t value_count = 100'000;

struct Entry;

struct Value {
    enum class Kind { nothing, boolean, number, text, list, table, unknown };
    Kind kind = Kind::nothing;
    bool boolean = false;
    double number = 0;
    std::string text;
    std::vector<Value> items;
    std::vector<Entry> entries;
    Place place;

    static Value of(std::string text, const Place& place);
    static Value table(const Place& place);

    const Value* find(std::string_view name) const;
    /// The entry of this name; it is made where it is missing, and so is the table.
    Value& at(std::string_view name, const Place& where);
    void put(std::string_view name, Value value);
    bool is_table() const { return kind == Kind::table; }
    /// Text, or a number as text.
    std::optional<std::string> word() const;
    std::string word_of(std::string_view name) const;
    bool yes(std::string_view name) const;
    /// The words of a list, or of one word.
    std::vector<std::string> words() const;
    /// As it could be written, in one line, cut off behind 120 octets.
    std::string shown() const;
    /// Whether both say the same, wherever they stand.
    bool same_as(const Value& other) const;
};

struct Entry {
    std::string name;
    Value value;
};

/// What a later file says besides: tables are joined, all else is replaced.
void merge(Value& into, const Value& from);

/// "5 minutes", "1h 30m", 300: seconds. None: it is no time.
std::optional<long long> seconds_of(const Value& value);
/// Seconds as main.cf has them: "5m".
std::string time_text(long long seconds);
/// "1,000/hr" as a peer rule has it: "1000/h". Of a day: by the hour, at least one. None: it is no rate.
std::optional<std::string> rate_of(const Value& value);

}  // namespace posthorn::kumomta
