// Jinja's language: what of it is known here, and nothing else.
#include "inject/jinja_tag.hpp"
#include "inject/tree.hpp"

#include "base/strings.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>

namespace posthorn::inject {

namespace {

constexpr FilterInfo filters[] = {
    {"default", Filter::default_, 0, 2},
    {"d", Filter::default_, 0, 2},
    {"escape", Filter::escape},
    {"e", Filter::escape},
    {"safe", Filter::safe},
    {"upper", Filter::upper},
    {"lower", Filter::lower},
    {"capitalize", Filter::capitalize},
    {"title", Filter::title},
    {"trim", Filter::trim},
    {"length", Filter::length},
    {"count", Filter::length},
    {"join", Filter::join, 0, 1},
    {"replace", Filter::replace, 2, 2},
    {"first", Filter::first},
    {"last", Filter::last},
    {"urlencode", Filter::urlencode},
    {"items", Filter::items},
};

constexpr std::string_view words_of_the_language[] = {"if", "elif", "else", "endif", "for", "endfor", "in", "not", "and", "or", "is", "set"};

class JinjaReader {
    using Token = JinjaToken;
    using Tag = JinjaTag;

public:
    explicit JinjaReader(std::string_view source) : source_(source), lines_(source) {}

    Result<std::vector<Node>> read()
    {
        std::vector<Node> nodes;
        TRY_VOID(read_body(nodes, {}, 0));
        return nodes;
    }

private:
    Error wrong(std::size_t offset, std::string_view what) const { return error_at(lines_.place_of(offset), what); }

    // Text, tags and blocks.

    /// Nodes up to a statement that begins with one of `ends`, which is then the tag in hand; without any, up to the end.
    Result<void> read_body(std::vector<Node>& nodes, std::initializer_list<std::string_view> ends, std::size_t depth)
    {
        if (depth > deepest_nesting)
            return wrong(at_, "blocks are nested too deeply");
        const std::size_t begun = at_;
        for (;;) {
            const std::size_t open = next_tag();
            add_text(nodes, open);
            if (open == source_.size()) {
                at_ = open;
                if (ends.size() != 0)
                    return wrong(begun, fmt::format("this block has no {}", std::data(ends)[ends.size() - 1]));
                return {};
            }
            const char sign = source_[open + 1];
            if (sign == '#') {
                const auto close = source_.find("#}", open + 2);
                if (close == source_.npos)
                    return wrong(open, "this comment has no end");
                trim_next_ = source_[close - 1] == '-' && close > open + 2;
                at_ = close + 2;
                continue;
            }
            if (++count_ > most_tags)
                return wrong(open, "the template has too many places");
            TRY(Tag tag, read_jinja_tag(source_, lines_, open));
            at_ = tag.end;
            trim_next_ = tag.trims_after;
            tokens_ = std::move(tag.tokens);
            token_ = 0;
            if (sign == '{') {
                TRY_VOID(read_print(nodes));
                continue;
            }
            if (current().kind != Token::Kind::name)
                return wrong(current().offset, "a statement is needed");
            if (std::ranges::find(ends, current().text) != ends.end())
                return {};
            TRY_VOID(read_statement(nodes, depth));
        }
    }

    /// The next {{, {% or {#, or the end.
    std::size_t next_tag() const
    {
        for (std::size_t at = at_; (at = source_.find('{', at)) != source_.npos && at + 1 < source_.size(); ++at)
            if (source_[at + 1] == '{' || source_[at + 1] == '%' || source_[at + 1] == '#')
                return at;
        return source_.size();
    }

    void add_text(std::vector<Node>& nodes, std::size_t end)
    {
        std::string_view text = source_.substr(at_, end - at_);
        if (trim_next_)
            while (!text.empty() && is_space(text.front()))
                text.remove_prefix(1);
        if (end + 2 < source_.size() && source_[end + 2] == '-')
            while (!text.empty() && is_space(text.back()))
                text.remove_suffix(1);
        trim_next_ = false;
        if (!text.empty())
            nodes.push_back({.kind = Node::Kind::text, .place = lines_.place_of(at_), .text = std::string(text)});
    }

    Result<void> read_print(std::vector<Node>& nodes)
    {
        Node node{.kind = Node::Kind::print, .place = lines_.place_of(current().offset)};
        TRY(node.value, read_expression(0));
        TRY_VOID(tag_ends());
        nodes.push_back(std::move(node));
        return {};
    }

    Result<void> read_statement(std::vector<Node>& nodes, std::size_t depth)
    {
        const Token word = take();
        if (word.text == "if")
            return read_choice(nodes, word, depth);
        if (word.text == "for")
            return read_each(nodes, word, depth);
        if (word.text == "set")
            return read_set(nodes, word);
        if (word.text == "raw")
            return read_raw(nodes, word);
        for (const std::string_view stray : {"endif", "else", "elif", "endfor", "endraw"})
            if (word.text == stray)
                return wrong(word.offset, fmt::format("{} without its beginning", stray));
        return wrong(word.offset, fmt::format("the statement \"{}\" is not known here", printable(word.text.substr(0, 50))));
    }

    Result<void> read_choice(std::vector<Node>& nodes, const Token& word, std::size_t depth)
    {
        Node node{.kind = Node::Kind::choice, .place = lines_.place_of(word.offset)};
        for (bool more = true; more;) {
            Branch branch;
            TRY(branch.when, read_expression(0));
            TRY_VOID(tag_ends());
            TRY_VOID(read_body(branch.body, {"elif", "else", "endif"}, depth + 1));
            node.branches.push_back(std::move(branch));
            more = take().text == "elif";
        }
        if (last_.text == "else") {
            TRY_VOID(tag_ends());
            TRY_VOID(read_body(node.otherwise, {"endif"}, depth + 1));
            (void)take();
        }
        TRY_VOID(tag_ends());
        nodes.push_back(std::move(node));
        return {};
    }

    Result<void> read_each(std::vector<Node>& nodes, const Token& word, std::size_t depth)
    {
        Node node{.kind = Node::Kind::each, .place = lines_.place_of(word.offset)};
        TRY(node.name, read_new_name());
        if (took_sign(",")) {
            TRY(node.second, read_new_name());
        }
        if (!took_name("in"))
            return wrong(current().offset, "for needs: for NAME in LIST");
        TRY(node.value, read_expression(0));
        TRY_VOID(tag_ends());
        TRY_VOID(read_body(node.body, {"else", "endfor"}, depth + 1));
        if (take().text == "else") {
            TRY_VOID(tag_ends());
            TRY_VOID(read_body(node.otherwise, {"endfor"}, depth + 1));
            (void)take();
        }
        TRY_VOID(tag_ends());
        nodes.push_back(std::move(node));
        return {};
    }

    Result<void> read_set(std::vector<Node>& nodes, const Token& word)
    {
        Node node{.kind = Node::Kind::set, .place = lines_.place_of(word.offset)};
        TRY(node.name, read_new_name());
        if (!took_sign("="))
            return wrong(current().offset, "set needs: set NAME = VALUE");
        TRY(node.value, read_expression(0));
        TRY_VOID(tag_ends());
        nodes.push_back(std::move(node));
        return {};
    }

    /// Text that is no template.
    Result<void> read_raw(std::vector<Node>& nodes, const Token& word)
    {
        TRY_VOID(tag_ends());
        for (std::size_t open = at_; (open = source_.find("{%", open)) != source_.npos; open += 2) {
            auto tag = read_jinja_tag(source_, lines_, open);                         // what is no tag is text here
            if (!tag || tag->tokens.size() != 2 || tag->tokens.front().text != "endraw")
                continue;
            add_text(nodes, open);
            at_ = tag->end;
            trim_next_ = tag->trims_after;
            return {};
        }
        return wrong(word.offset, "raw has no endraw");
    }

    // Tokens.

    const Token& current() const { return tokens_[token_]; }
    bool is_sign(std::string_view sign) const { return current().kind == Token::Kind::sign && current().text == sign; }
    bool is_name(std::string_view name) const { return current().kind == Token::Kind::name && current().text == name; }
    Token take()
    {
        last_ = tokens_[token_];
        if (token_ + 1 < tokens_.size())
            ++token_;
        return last_;
    }
    bool took_sign(std::string_view sign) { return is_sign(sign) && (take(), true); }
    bool took_name(std::string_view name) { return is_name(name) && (take(), true); }
    Result<void> need_sign(std::string_view sign)
    {
        if (took_sign(sign))
            return {};
        return wrong(current().offset, fmt::format("\"{}\" is needed here", sign));
    }
    Result<void> tag_ends() const
    {
        if (current().kind == Token::Kind::end)
            return {};
        return wrong(current().offset, fmt::format("\"{}\" has no meaning here", printable(current().text.substr(0, 50))));
    }

    // Expressions, from what binds least.

    Expr expr(Expr::Kind kind, std::size_t offset) const { return {.kind = kind, .place = lines_.place_of(offset)}; }
    Expr joined(Expr::Kind kind, std::size_t offset, Expr left, Expr right) const
    {
        Expr made = expr(kind, offset);
        made.args.push_back(std::move(left));
        made.args.push_back(std::move(right));
        return made;
    }

    Result<Expr> read_expression(std::size_t depth)
    {
        if (depth > deepest_expression)
            return wrong(current().offset, "the expression is nested too deeply");
        TRY(Expr value, read_or(depth));
        const std::size_t offset = current().offset;
        if (!took_name("if"))
            return value;
        TRY(Expr when, read_or(depth));
        Expr made = joined(Expr::Kind::choose, offset, std::move(value), std::move(when));
        if (took_name("else")) {
            TRY(Expr other, read_expression(depth + 1));
            made.args.push_back(std::move(other));
        }
        return made;
    }

    Result<Expr> read_or(std::size_t depth)
    {
        TRY(Expr left, read_and(depth));
        for (std::size_t chain = 0;; ++chain) {
            const std::size_t offset = current().offset;
            if (!took_name("or"))
                return left;
            if (chain > deepest_expression)
                return wrong(offset, "the expression is too long");
            TRY(Expr right, read_and(depth));
            left = joined(Expr::Kind::or_, offset, std::move(left), std::move(right));
        }
    }

    Result<Expr> read_and(std::size_t depth)
    {
        TRY(Expr left, read_not(depth));
        for (std::size_t chain = 0;; ++chain) {
            const std::size_t offset = current().offset;
            if (!took_name("and"))
                return left;
            if (chain > deepest_expression)
                return wrong(offset, "the expression is too long");
            TRY(Expr right, read_not(depth));
            left = joined(Expr::Kind::and_, offset, std::move(left), std::move(right));
        }
    }

    Result<Expr> read_not(std::size_t depth)
    {
        if (depth > deepest_expression)
            return wrong(current().offset, "the expression is nested too deeply");
        const std::size_t offset = current().offset;
        if (!took_name("not"))
            return read_comparison(depth);
        Expr made = expr(Expr::Kind::not_, offset);
        TRY(Expr value, read_not(depth + 1));
        made.args.push_back(std::move(value));
        return made;
    }

    std::optional<Expr::Kind> comparison() const
    {
        using Kind = Expr::Kind;
        static constexpr std::pair<std::string_view, Kind> signs[] = {{"==", Kind::equal},      {"!=", Kind::unequal}, {"<", Kind::less},
                                                                      {"<=", Kind::less_equal}, {">", Kind::greater},  {">=", Kind::greater_equal}};
        for (const auto& [sign, kind] : signs)
            if (is_sign(sign))
                return kind;
        return is_name("in") ? std::optional(Kind::in) : std::nullopt;
    }

    Result<Expr> read_comparison(std::size_t depth)
    {
        TRY(Expr left, read_concat(depth));
        const std::size_t offset = current().offset;
        if (const auto kind = comparison()) {
            (void)take();
            TRY(Expr right, read_concat(depth));
            if (comparison())
                return wrong(current().offset, "comparisons do not follow each other");
            return joined(*kind, offset, std::move(left), std::move(right));
        }
        if (is_name("not") && tokens_[std::min(token_ + 1, tokens_.size() - 1)].text == "in") {
            (void)take();
            (void)take();
            TRY(Expr right, read_concat(depth));
            Expr made = expr(Expr::Kind::not_, offset);
            made.args.push_back(joined(Expr::Kind::in, offset, std::move(left), std::move(right)));
            return made;
        }
        return left;
    }

    Result<Expr> read_concat(std::size_t depth)
    {
        TRY(Expr left, read_filtered(depth));
        for (std::size_t chain = 0;; ++chain) {
            const std::size_t offset = current().offset;
            if (!took_sign("~"))
                return left;
            if (chain > deepest_expression)
                return wrong(offset, "the expression is too long");
            TRY(Expr right, read_filtered(depth));
            left = joined(Expr::Kind::concat, offset, std::move(left), std::move(right));
        }
    }

    Result<Expr> read_filtered(std::size_t depth)
    {
        TRY(Expr value, read_primary(depth));
        for (std::size_t chain = 0;; ++chain) {
            if (chain > deepest_expression)
                return wrong(current().offset, "the expression is too long");
            if (took_sign(".")) {
                TRY(value, read_member(std::move(value)));
            } else if (took_sign("[")) {
                const std::size_t offset = last_.offset;
                TRY(Expr index, read_expression(depth + 1));
                TRY_VOID(need_sign("]"));
                value = joined(Expr::Kind::index, offset, std::move(value), std::move(index));
            } else if (took_sign("|")) {
                TRY(value, read_filter(std::move(value), depth));
            } else if (took_name("is")) {
                TRY(value, read_test(std::move(value)));
            } else if (is_sign("(")) {
                if (value.kind != Expr::Kind::member || value.text != "items" || tokens_[token_ + 1].text != ")")
                    return wrong(current().offset, "functions and methods are not known here");
                (void)take();                                  // the one method that loops over objects have: a filter by another name
                (void)take();
                value.kind = Expr::Kind::filter;
                value.filter = Filter::items;
            } else {
                return value;
            }
        }
    }

    Result<Expr> read_member(Expr of)
    {
        const Token word = take();
        if (word.kind != Token::Kind::name)
            return wrong(word.offset, "the name of a member is needed");
        Expr made = expr(Expr::Kind::member, word.offset);
        made.text = word.text;
        made.args.push_back(std::move(of));
        return made;
    }

    Result<Expr> read_filter(Expr of, std::size_t depth)
    {
        const Token word = take();
        const FilterInfo* const info = word.kind == Token::Kind::name ? find_filter(word.text) : nullptr;
        if (info == nullptr)
            return wrong(word.offset, fmt::format("the filter \"{}\" is not known here", printable(word.text.substr(0, 50))));
        Expr made = expr(Expr::Kind::filter, word.offset);
        made.filter = info->filter;
        made.args.push_back(std::move(of));
        if (took_sign("(") && !took_sign(")")) {
            do {
                TRY(Expr argument, read_expression(depth + 1));
                made.args.push_back(std::move(argument));
            } while (took_sign(","));
            TRY_VOID(need_sign(")"));
        }
        if (made.args.size() - 1 < info->least || made.args.size() - 1 > info->most)
            return wrong(word.offset, fmt::format("the filter {} does not take {} arguments", info->name, made.args.size() - 1));
        return made;
    }

    Result<Expr> read_test(Expr of)
    {
        const bool negated = took_name("not");
        const Token word = take();
        static constexpr std::pair<std::string_view, Test> tests[] = {
            {"defined", Test::defined}, {"undefined", Test::undefined}, {"none", Test::none}};
        const auto found = std::ranges::find(tests, word.text, [](const auto& test) { return test.first; });
        if (word.kind != Token::Kind::name || found == std::end(tests))
            return wrong(word.offset, fmt::format("the test \"{}\" is not known here", printable(word.text.substr(0, 50))));
        Expr made = expr(Expr::Kind::test, word.offset);
        made.test = found->second;
        made.args.push_back(std::move(of));
        if (!negated)
            return made;
        Expr turned = expr(Expr::Kind::not_, word.offset);
        turned.args.push_back(std::move(made));
        return turned;
    }

    Result<Expr> read_primary(std::size_t depth)
    {
        const Token token = take();
        Expr made = expr(Expr::Kind::literal, token.offset);
        switch (token.kind) {
        case Token::Kind::text: made.literal = token.text; return made;
        case Token::Kind::number: return read_number(token, false);
        case Token::Kind::name:
            if (token.text == "true" || token.text == "True" || token.text == "false" || token.text == "False") {
                made.literal = ascii_lower(token.text[0]) == 't';
                return made;
            }
            if (token.text == "none" || token.text == "None")
                return made;
            if (std::ranges::find(words_of_the_language, token.text) != std::end(words_of_the_language))
                return wrong(token.offset, fmt::format("\"{}\" has no meaning here", token.text));
            made.kind = Expr::Kind::name;
            made.text = token.text;
            return made;
        case Token::Kind::sign:
            if (token.text == "-" && current().kind == Token::Kind::number)
                return read_number(take(), true);
            if (token.text == "(") {
                TRY(Expr inner, read_expression(depth + 1));
                TRY_VOID(need_sign(")"));
                return inner;
            }
            break;
        case Token::Kind::end: break;
        }
        return wrong(token.offset, "a value is needed here");
    }

    Result<Expr> read_number(const Token& token, bool negative) const
    {
        Expr made = expr(Expr::Kind::literal, token.offset);
        const char* const end = token.text.data() + token.text.size();
        std::int64_t whole = 0;
        double broken = 0;
        if (const auto read = std::from_chars(token.text.data(), end, whole); read.ec == std::errc() && read.ptr == end)
            made.literal = negative ? -whole : whole;
        else if (const auto other = std::from_chars(token.text.data(), end, broken); other.ec == std::errc() && other.ptr == end)
            made.literal = negative ? -broken : broken;
        else
            return wrong(token.offset, "this is no number");
        return made;
    }

    /// Of a variable that begins here.
    Result<std::string> read_new_name()
    {
        const Token word = take();
        if (word.kind != Token::Kind::name || std::ranges::find(words_of_the_language, word.text) != std::end(words_of_the_language))
            return wrong(word.offset, "a name is needed here");
        if (word.text == "loop")
            return wrong(word.offset, "\"loop\" is the loop's own name");
        return word.text;
    }

    std::string_view source_;
    Lines lines_;
    std::size_t at_ = 0, count_ = 0;
    bool trim_next_ = false;
    std::vector<Token> tokens_;              // of the tag in hand
    std::size_t token_ = 0;
    Token last_;                             // taken last
};

}  // namespace

const FilterInfo* find_filter(std::string_view name)
{
    const auto found = std::ranges::find(filters, name, &FilterInfo::name);
    return found == std::end(filters) ? nullptr : found;
}

Result<std::vector<Node>> parse_jinja(std::string_view source)
{
    // One line end at the end belongs to the file and not to the text, as MiniJinja has it.
#ifdef POSTHORN_PLANT_BUG_inject_template                          // all of them (scripts/fuzz-planted)
    while (source.ends_with('\n'))
#else
    if (source.ends_with('\n'))
#endif
        source.remove_suffix(1);
    if (source.ends_with('\r'))
        source.remove_suffix(1);
    return JinjaReader(source).read();
}

}  // namespace posthorn::inject
