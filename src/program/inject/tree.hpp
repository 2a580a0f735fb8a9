// inject/tree.hpp: a template, read: nodes that give text, and expressions within them. For template.hpp's sources alone.
#pragma once

#include "base/error.hpp"
#include "inject/request.hpp"

#include <boost/json/value.hpp>

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace posthorn::inject {

/// Where something stands in the template, counted from 1; columns in octets.
struct Place {
    std::size_t line = 1, column = 1;
};
class Lines {
public:
    explicit Lines(std::string_view source);
    Place place_of(std::size_t offset) const;

private:
    std::vector<std::size_t> starts_;
};
Error error_at(Place place, std::string_view what);

enum class Filter : std::uint8_t {
    default_,
    escape,
    safe,
    upper,
    lower,
    capitalize,
    title,
    trim,
    length,
    join,
    replace,
    first,
    last,
    items,
    urlencode
};
struct FilterInfo {
    std::string_view name;
    Filter filter;
    std::size_t least = 0, most = 0;         // arguments beside what is filtered
};
/// Of Jinja; "d" and "e" are short for default and escape.
const FilterInfo* find_filter(std::string_view name);

enum class Test : std::uint8_t { defined, undefined, none };

struct Expr {
    enum class Kind : std::uint8_t {
        literal,
        name,        // text; `up` contexts are left out (Handlebars' ../)
        member,      // of args[0]: text
        index,       // of args[0]: args[1]
        filter,      // args[0] with args[1..]
        test,        // args[0] is ...
        choose,      // args[0] if args[1] else args[2], where there is one
        not_,
        and_,
        or_,
        equal,
        unequal,
        less,
        less_equal,
        greater,
        greater_equal,
        in,
        concat,
    };
    Kind kind = Kind::literal;
    Place place = {};
    std::string text = {};
    boost::json::value literal = nullptr;
    Filter filter = Filter::default_;
    Test test = Test::defined;
    std::size_t up = 0;
    std::vector<Expr> args = {};
};

struct Node;

struct Branch {
    Expr when;
    std::vector<Node> body;
};

struct Node {
    enum class Kind : std::uint8_t {
        text,
        print,       // value; `raw`: never escaped
        choice,      // the first branch that is true, or otherwise
        each,        // for name[, second] in value; Handlebars: no names, the item is the context
        with,        // value is the context (Handlebars)
        set,         // name = value
    };
    Kind kind = Kind::text;
    Place place = {};
    std::string text = {};
    Expr value = {};
    bool raw = false;
    std::string name = {}, second = {};
    std::vector<Branch> branches = {};       // of choice
    std::vector<Node> body = {};             // of each and with
    std::vector<Node> otherwise = {};
};

struct Tree {
    std::vector<Node> nodes;
    Dialect dialect = Dialect::jinja;
    bool html = false;
};

inline constexpr std::size_t deepest_nesting = 32, deepest_expression = 16, most_tags = 50'000;

Result<std::vector<Node>> parse_jinja(std::string_view source);
Result<std::vector<Node>> parse_handlebars(std::string_view source);

}  // namespace posthorn::inject
