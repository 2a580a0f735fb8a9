// Handlebars' language: places, if, unless, each, with; no helpers of other names, no partials.
#include "inject/tree.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace posthorn::inject {

namespace {

constexpr std::size_t most_path = 16;

struct Mustache {
    std::size_t open = 0, end = 0;           // offsets of {{ and behind }}
    std::string_view inner;                  // between them, without ~ and the sign
    std::size_t inner_at = 0;
    char sign = ' ';                         // #, /, !, &, { or ' '
    bool trims_before = false, trims_after = false;
};

constexpr std::string_view blanks = " \t\r\n";

class HandlebarsReader {
public:
    explicit HandlebarsReader(std::string_view source) : source_(source), lines_(source) {}

    Result<std::vector<Node>> read()
    {
        std::vector<Node> nodes;
        TRY_VOID(read_body(nodes, "", 0));
        return nodes;
    }

private:
    Error wrong(std::size_t offset, std::string_view what) const { return error_at(lines_.place_of(offset), what); }

    /// Up to {{else}} or the end of `block`, which is then in hand; without a block, up to the end.
    Result<void> read_body(std::vector<Node>& nodes, std::string_view block, std::size_t depth)
    {
        if (depth > deepest_nesting)
            return wrong(at_, "blocks are nested too deeply");
        const std::size_t begun = at_;
        for (;;) {
            const std::size_t open = next_tag();
            if (open == source_.size()) {
                add_text(nodes, open, false, false);
                at_ = open;
                if (!block.empty())
                    return wrong(begun, fmt::format("this block has no {{{{/{}}}}}", block));
                return {};
            }
            if (++count_ > most_tags)
                return wrong(open, "the template has too many places");
            TRY(tag_, read_tag(open));
            const bool alone = stands_alone(tag_);
            add_text(nodes, open, tag_.trims_before, alone);
            at_ = tag_.end;
            trim_next_ = tag_.trims_after;
            if (alone)
                skip_line_end();
            if (tag_.sign == '!')
                continue;
            if (tag_.sign == '/') {
                if (block.empty() || tag_.inner != block)
                    return wrong(tag_.open, fmt::format("\"/{}\" ends no block here", printable(tag_.inner.substr(0, 50))));
                return {};
            }
            if (is_else()) {
                if (block.empty())
                    return wrong(tag_.open, "else without its block");
                return {};
            }
            TRY_VOID(tag_.sign == '#' ? read_block(nodes, depth) : read_place(nodes));
        }
    }

    bool is_else() const { return tag_.sign == ' ' && (tag_.inner == "else" || tag_.inner.starts_with("else ")); }

    std::size_t next_tag() const
    {
        const auto found = source_.find("{{", at_);
        return found == source_.npos ? source_.size() : found;
    }

    void add_text(std::vector<Node>& nodes, std::size_t end, bool trims, bool alone)
    {
        std::string_view text = source_.substr(at_, end - at_);
        if (trim_next_)
            text.remove_prefix(std::min(text.find_first_not_of(blanks), text.size()));
        if (trims)
            text = text.substr(0, text.find_last_not_of(blanks) + 1);
        else if (alone)
            text = text.substr(0, text.find_last_not_of(" \t") + 1);
        trim_next_ = false;
        if (!text.empty())
            nodes.push_back({.kind = Node::Kind::text, .place = lines_.place_of(at_), .text = std::string(text)});
    }

    /// Blocks and comments that have a line for themselves leave none behind.
    bool stands_alone(const Mustache& tag) const
    {
        const bool block =
            tag.sign == '#' || tag.sign == '/' || tag.sign == '!' || (tag.sign == ' ' && (tag.inner == "else" || tag.inner.starts_with("else ")));
        if (!block)
            return false;
        const std::string_view before = source_.substr(0, tag.open), after = source_.substr(tag.end);
        const auto last = before.find_last_not_of(" \t"), next = after.find_first_not_of(" \t\r");
        return (last == before.npos || before[last] == '\n') && (next == after.npos || after[next] == '\n');
    }

    void skip_line_end()
    {
        const auto next = source_.find('\n', at_);
        at_ = next == source_.npos ? source_.size() : next + 1;
    }

    Result<Mustache> read_tag(std::size_t open) const
    {
        Mustache tag{.open = open};
        std::size_t at = open + 2;
        const auto is = [&](std::string_view word) { return source_.substr(at).starts_with(word); };
        if (is("~")) {
            tag.trims_before = true;
            ++at;
        }
        std::string_view close = "}}";
        if (is("!--"))
            close = "--}}";
        else if (is("{"))
            close = "}}}";
        if (at < source_.size() && std::string_view("#/!&{^>*").find(source_[at]) != std::string_view::npos)
            tag.sign = source_[at++];
        auto end = source_.find(close, at);
        if (tag.sign == '!' && close == "--}}") {
            const auto trimming = source_.find("--~}}", at);
            if (trimming < end) {
                end = trimming;
                close = "--~}}";
            }
        }
        if (end == source_.npos)
            return wrong(open, fmt::format("this tag has no {}", close));
        tag.end = end + close.size();
        std::string_view inner = source_.substr(at, end - at);
        tag.trims_after = close == "--~}}";
        if (inner.ends_with('~') && tag.sign != '!') {
            tag.trims_after = true;
            inner.remove_suffix(1);
        }
        tag.inner = trim(inner);
        tag.inner_at = tag.inner.empty() ? at : static_cast<std::size_t>(tag.inner.data() - source_.data());
        if (tag.sign == '^' || tag.sign == '>' || tag.sign == '*')
            return wrong(open, fmt::format("tags with {} are not known here", tag.sign));
        return tag;
    }

    Result<void> read_place(std::vector<Node>& nodes)
    {
        Node node{.kind = Node::Kind::print, .place = lines_.place_of(tag_.open)};
        node.raw = tag_.sign == '&' || tag_.sign == '{';
        TRY(node.value, read_path(tag_.inner, tag_.inner_at));
        nodes.push_back(std::move(node));
        return {};
    }

    Result<void> read_block(std::vector<Node>& nodes, std::size_t depth)
    {
        const auto blank = tag_.inner.find_first_of(blanks);
        const std::string word(tag_.inner.substr(0, blank));
        Node node{.place = lines_.place_of(tag_.open)};
        if (word != "if" && word != "unless" && word != "each" && word != "with")
            return wrong(tag_.open, fmt::format("the block \"{}\" is not known here", printable(std::string_view(word).substr(0, 50))));
        TRY(Expr value, read_argument(blank == tag_.inner.npos ? tag_.inner.size() : blank));
        if (word == "unless") {
            Expr turned{.kind = Expr::Kind::not_, .place = node.place};
            turned.args.push_back(std::move(value));
            value = std::move(turned);
        }
        if (word == "if" || word == "unless") {
            node.kind = Node::Kind::choice;
            TRY_VOID(read_branches(node, std::move(value), word, depth));
        } else {
            node.kind = word == "each" ? Node::Kind::each : Node::Kind::with;
            node.value = std::move(value);
            TRY_VOID(read_body(node.body, word, depth + 1));
            if (is_else()) {
                if (tag_.inner != "else")
                    return wrong(tag_.open, "only if has an else with another condition");
                TRY_VOID(read_body(node.otherwise, word, depth + 1));
                if (is_else())
                    return wrong(tag_.open, "a second else");
            }
        }
        nodes.push_back(std::move(node));
        return {};
    }

    /// {{else if x}} may follow as often as it likes; behind {{else}} comes the end.
    Result<void> read_branches(Node& node, Expr when, const std::string& word, std::size_t depth)
    {
        for (;;) {
            Branch branch{.when = std::move(when), .body = {}};
            TRY_VOID(read_body(branch.body, word, depth + 1));
            node.branches.push_back(std::move(branch));
            if (!is_else())
                return {};
            const std::string_view rest = trim(tag_.inner.substr(4));
            if (rest.empty())
                break;
            if (!rest.starts_with("if ") && !rest.starts_with("if\t"))
                return wrong(tag_.open, "else, or else if and a name, is known here");
            TRY(when, read_argument(static_cast<std::size_t>(rest.data() - tag_.inner.data()) + 2));
        }
        TRY_VOID(read_body(node.otherwise, word, depth + 1));
        if (is_else())
            return wrong(tag_.open, "a second else");
        return {};
    }

    /// The one argument of a block, which begins at `from` of the tag.
    Result<Expr> read_argument(std::size_t from) const
    {
        const std::string_view text = trim(tag_.inner.substr(from));
        if (text.empty())
            return wrong(tag_.open, "this block needs a name");
        return read_path(text, static_cast<std::size_t>(text.data() - source_.data()));
    }

    /// a, a.b, a/b, a.[0], ../a, this, this.a, @index, "text", 5, true
    Result<Expr> read_path(std::string_view text, std::size_t offset) const
    {
        const Place place = lines_.place_of(offset);
        if (text.empty())
            return error_at(place, "a name is needed here");
        if (text.find_first_of(blanks) != text.npos || text.front() == '(')
            return error_at(place, fmt::format("helpers are not known here: \"{}\"", printable(text.substr(0, 50))));
        Expr made{.kind = Expr::Kind::name, .place = place};
        while (text.starts_with("../")) {
            if (++made.up > most_path)
                return error_at(place, "too many ../");
            text.remove_prefix(3);
        }
        if (text.starts_with("@root.") && made.up == 0) {
            made.up = deepest_nesting + 1;
            text.remove_prefix(6);
        }
        std::size_t pieces = 0;
        for (bool first = true; !text.empty(); first = false) {
            if (++pieces > most_path)
                return error_at(place, "the path is too long");
            TRY(const std::string piece, next_piece(text, first, place));
            if (first) {
                made.text = piece;
                continue;
            }
            Expr inner = std::move(made);
            std::size_t number = 0;
            const bool is_number = std::ranges::all_of(piece, is_digit) &&
                                   std::from_chars(piece.data(), piece.data() + piece.size(), number).ec == std::errc() && number < 1'000'000;
            made = {.kind = is_number ? Expr::Kind::index : Expr::Kind::member, .place = place, .text = piece};
            made.args.push_back(std::move(inner));
            if (is_number)
                made.args.push_back({.place = place, .literal = static_cast<std::int64_t>(number)});
        }
        if (made.kind == Expr::Kind::name && made.text.empty())
            return error_at(place, "a name is needed here");
        return made;
    }

    /// Up to the next dot or slash, which goes with it.
    static Result<std::string> next_piece(std::string_view& text, bool first, Place place)
    {
        if (text.starts_with('[')) {
            const auto close = text.find(']');
            if (close == text.npos || (close + 1 < text.size() && text[close + 1] != '.' && text[close + 1] != '/'))
                return error_at(place, "a ] is needed");
            const std::string piece(text.substr(1, close - 1));
            text.remove_prefix(std::min(close + 2, text.size()));
            return piece;
        }
        std::size_t at = first && text.starts_with('@') ? 1 : 0;
        while (at < text.size() && (is_alnum(text[at]) || text[at] == '_' || text[at] == '-' || static_cast<unsigned char>(text[at]) >= 0x80))
            ++at;
        if (at == 0 || (at < text.size() && text[at] != '.' && text[at] != '/') || at + 1 == text.size())
            return error_at(place, fmt::format("\"{}\" is no name", printable(text.substr(0, 50))));
        const std::string piece(text.substr(0, at));
        if (piece.front() == '@' && piece != "@index" && piece != "@key" && piece != "@first" && piece != "@last")
            return error_at(place, fmt::format("\"{}\" is not known here", printable(piece.substr(0, 50))));
        text.remove_prefix(std::min(at + 1, text.size()));
        return piece;
    }

    std::string_view source_;
    Lines lines_;
    std::size_t at_ = 0, count_ = 0;
    bool trim_next_ = false;
    Mustache tag_;                           // in hand
};

}  // namespace

Result<std::vector<Node>> parse_handlebars(std::string_view source) { return HandlebarsReader(source).read(); }

}  // namespace posthorn::inject
