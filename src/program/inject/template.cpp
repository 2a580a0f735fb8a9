#include "inject/template.hpp"

#include "base/strings.hpp"
#include "inject/tree.hpp"
#include "inject/value.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <deque>
#include <optional>

namespace posthorn::inject {

namespace json = boost::json;

namespace {

class Renderer {
public:
    Renderer(const Tree& tree, std::span<const json::object* const> values, const RenderLimits& limits)
        : tree_(tree), values_(values), limits_(limits)
    {
    }

    Result<std::string> run()
    {
        TRY_VOID(render(tree_.nodes));
        return std::move(out_);
    }

private:
    /// A name, or (Handlebars) a value whose members are names.
    struct Frame {
        std::string_view name;
        Value value;
        bool context = false;
    };

    Result<void> render(const std::vector<Node>& nodes)
    {
        for (const Node& node : nodes) {
            TRY_VOID(step(node.place));
            TRY_VOID(render(node));
        }
        return {};
    }

    Result<void> step(Place place)
    {
        if (++steps_ > limits_.steps)
            return error_at(place, fmt::format("more than {} steps", limits_.steps));
        return {};
    }

    Result<void> put(std::string_view text, Place place)
    {
        if (text.size() > limits_.octets - out_.size())
            return error_at(place, fmt::format("the text has more than {} octets", limits_.octets));
        out_ += text;
        return {};
    }

    Result<void> render(const Node& node)
    {
        switch (node.kind) {
        case Node::Kind::text: return put(node.text, node.place);
        case Node::Kind::print: return print(node);
        case Node::Kind::choice: return choose(node);
        case Node::Kind::each: return each(node);
        case Node::Kind::with: {
            TRY(const Value value, evaluate(node.value));
            if (!is_true(value))
                return within({}, node.otherwise);
            return within({{.value = value, .context = true}, {.name = "this", .value = value}}, node.body);
        }
        case Node::Kind::set: {
            TRY(const Value value, evaluate(node.value));
            frames_.push_back({.name = node.name, .value = value});      // until the block ends that it stands in
            return {};
        }
        }
        return {};
    }

    /// With names of its own, which end with it.
    Result<void> within(std::initializer_list<Frame> frames, const std::vector<Node>& nodes)
    {
        const std::size_t before = frames_.size();
        frames_.insert(frames_.end(), frames.begin(), frames.end());
        auto done = render(nodes);
        frames_.resize(before);
        return done;
    }

    Result<void> print(const Node& node)
    {
        TRY(const Value value, evaluate(node.value));
        if (value.at == nullptr)
            return {};
        TRY(std::string text, text_in(value, node.place));
        if (tree_.html && !node.raw && !value.safe)
            text = escaped_html(text, tree_.dialect);
        return put(text, node.place);
    }

    Result<void> choose(const Node& node)
    {
        for (const Branch& branch : node.branches) {
            TRY(const Value value, evaluate(branch.when));
            if (is_true(value))
                return tree_.dialect == Dialect::jinja ? render(branch.body) : within({}, branch.body);      // set outlives an if, as in Jinja
        }
        return render(node.otherwise);
    }

    Result<void> each(const Node& node)
    {
        TRY(const Value list, evaluate(node.value));
        if (list.at != nullptr && !list.at->is_array() && !list.at->is_object() && !(list.at->is_null() && tree_.dialect == Dialect::handlebars))
            return error_at(node.place, "this is no list");
        const std::size_t count = list.at == nullptr     ? 0
                                  : list.at->is_array()  ? list.at->get_array().size()
                                  : list.at->is_object() ? list.at->get_object().size()
                                                         : 0;
        if (count == 0)
            return within({}, node.otherwise);
        for (std::size_t at = 0; at < count; ++at) {
            TRY_VOID(step(node.place));
            const std::size_t made = made_.size(), held = held_;               // what a pass makes goes with it
            TRY_VOID(pass(node, list, at, count));
            made_.resize(made);
            held_ = held;
        }
        return {};
    }

    Result<void> pass(const Node& node, Value list, std::size_t at, std::size_t count)
    {
        const bool object = list.at->is_object();
        const Value member{object ? &(list.at->get_object().begin() + static_cast<std::ptrdiff_t>(at))->value() : &list.at->get_array()[at]};
        const Value key = object ? make(json::value((list.at->get_object().begin() + static_cast<std::ptrdiff_t>(at))->key())) : make(number(at));
        if (tree_.dialect == Dialect::handlebars)
            return within({{.value = member, .context = true},
                           {.name = "this", .value = member},
                           {.name = "@index", .value = make(number(at))},
                           {.name = "@key", .value = key},
                           {.name = "@first", .value = make(at == 0)},
                           {.name = "@last", .value = make(at + 1 == count)}},
                          node.body);
        const Value loop = make(json::object{{"index", number(at + 1)},
                                             {"index0", number(at)},
                                             {"revindex", number(count - at)},
                                             {"first", at == 0},
                                             {"last", at + 1 == count},
                                             {"length", number(count)}});
        const Frame about{.name = "loop", .value = loop};
        if (node.second.empty())
            return within({about, {.name = node.name, .value = object ? key : member}}, node.body);
        if (object)
            return within({about, {.name = node.name, .value = key}, {.name = node.second, .value = member}}, node.body);
        if (!member.at->is_array() || member.at->get_array().size() != 2)
            return error_at(node.place, "an item of this list is no pair");
        return within(
            {about, {.name = node.name, .value = {&member.at->get_array()[0]}}, {.name = node.second, .value = {&member.at->get_array()[1]}}},
            node.body);
    }

    Value make(json::value value, bool safe = false) { return {&made_.emplace_back(std::move(value)), safe}; }

    Result<std::string> text_in(Value value, Place place) const
    {
        if (value.at == nullptr || (value.at->is_null() && tree_.dialect == Dialect::handlebars))
            return std::string();
        if (tree_.dialect == Dialect::handlebars && (value.at->is_array() || value.at->is_object()))
            return error_at(place, "a list or an object is no text");
        std::string text;
        write(*value.at, text, false);
        return text;
    }

    Value look_up(const Expr& expr) const
    {
        std::size_t up = expr.up;
        for (auto frame = frames_.rbegin(); frame != frames_.rend(); ++frame) {
            if (frame->context && up > 0) {
                --up;
                continue;
            }
            if (up > 0)
                continue;
            if (!frame->context && frame->name == expr.text)
                return frame->value;
            if (frame->context && frame->value.at != nullptr && frame->value.at->is_object())
                if (const auto* found = frame->value.at->get_object().if_contains(expr.text))
                    return {found};
        }
        for (const json::object* const object : values_)
            if (const auto* found = object->if_contains(expr.text))
                return {found};
        return {};
    }

    Result<Value> evaluate(const Expr& expr)
    {
        using Kind = Expr::Kind;
        switch (expr.kind) {
        case Kind::literal: return Value{&expr.literal};
        case Kind::name: return look_up(expr);
        case Kind::member: return member(expr);
        case Kind::index: return index(expr);
        case Kind::filter: return filter(expr);
        case Kind::test: {
            TRY(const Value value, evaluate(expr.args[0]));
            return make(expr.test == Test::defined     ? value.at != nullptr
                        : expr.test == Test::undefined ? value.at == nullptr
                                                       : value.at != nullptr && value.at->is_null());
        }
        case Kind::choose: {
            TRY(const Value when, evaluate(expr.args[1]));
            if (is_true(when))
                return evaluate(expr.args[0]);
            return expr.args.size() == 3 ? evaluate(expr.args[2]) : Value{};
        }
        case Kind::not_: {
            TRY(const Value value, evaluate(expr.args[0]));
            return make(!is_true(value));
        }
        case Kind::and_:
        case Kind::or_: {
            TRY(const Value left, evaluate(expr.args[0]));
            return is_true(left) == (expr.kind == Kind::or_) ? left : evaluate(expr.args[1]);
        }
        case Kind::concat: return concat(expr);
        default: return compare(expr);
        }
    }

    Result<Value> member(const Expr& expr)
    {
        TRY(const Value of, evaluate(expr.args[0]));
        if (of.at == nullptr) {
            if (tree_.dialect == Dialect::handlebars)
                return Value{};
            return error_at(expr.place, fmt::format("what is undefined has no member \"{}\"", printable(expr.text)));
        }
        const auto* found = of.at->is_object() ? of.at->get_object().if_contains(expr.text) : nullptr;
        return Value{found};
    }

    Result<Value> index(const Expr& expr)
    {
        TRY(const Value of, evaluate(expr.args[0]));
        TRY(const Value at, evaluate(expr.args[1]));
        if (of.at == nullptr) {
            if (tree_.dialect == Dialect::handlebars)
                return Value{};
            return error_at(expr.place, "what is undefined has no items");
        }
        if (at.at == nullptr)
            return Value{};
        if (of.at->is_object() && at.at->is_string())
            return Value{of.at->get_object().if_contains(at.at->get_string())};
        if (!of.at->is_array() || !at.at->is_int64())
            return Value{};
        const auto size = static_cast<std::int64_t>(of.at->get_array().size());
        const std::int64_t number = at.at->get_int64() < 0 ? at.at->get_int64() + size : at.at->get_int64();
        return number >= 0 && number < size ? Value{&of.at->get_array()[static_cast<std::size_t>(number)]} : Value{};
    }

    /// What is put together is safe as a whole: what was not is escaped.
    Result<Value> concat(const Expr& expr)
    {
        TRY(const Value left, evaluate(expr.args[0]));
        TRY(const Value right, evaluate(expr.args[1]));
        TRY(std::string a, text_in(left, expr.place));
        TRY(std::string b, text_in(right, expr.place));
        const bool safe = left.safe || right.safe;
        if (safe && !left.safe)
            a = escaped_html(a, tree_.dialect);
        if (safe && !right.safe)
            b = escaped_html(b, tree_.dialect);
        return text(a + b, expr.place, safe);
    }

    /// A text that was made here counts as output: it may be as long, and no longer.
    Result<Value> text(std::string made, Place place, bool safe = false)
    {
        held_ += made.size();
        if (made.size() > limits_.octets || held_ > 4 * limits_.octets)
            return error_at(place, fmt::format("the text has more than {} octets", limits_.octets));
        return make(json::value(json::string(made)), safe);
    }

    Result<Value> compare(const Expr& expr)
    {
        using Kind = Expr::Kind;
        TRY(const Value left, evaluate(expr.args[0]));
        TRY(const Value right, evaluate(expr.args[1]));
        if (expr.kind == Kind::equal || expr.kind == Kind::unequal)
            return make(equal(left, right) == (expr.kind == Kind::equal));
        if (expr.kind == Kind::in)
            return within_value(left, right, expr.place);
        std::partial_ordering order = std::partial_ordering::unordered;
        if (left.at != nullptr && right.at != nullptr) {
            const auto a = as_number(*left.at), b = as_number(*right.at);
            if (a && b)
                order = *a <=> *b;
            else if (left.at->is_string() && right.at->is_string())
                order = text_of(left.at->get_string()) <=> text_of(right.at->get_string());
        }
        if (order == std::partial_ordering::unordered)
            return error_at(expr.place, "these two have no order");
        return make(expr.kind == Kind::less         ? order < 0
                    : expr.kind == Kind::less_equal ? order <= 0
                    : expr.kind == Kind::greater    ? order > 0
                                                    : order >= 0);
    }

    Result<Value> within_value(Value what, Value in, Place place)
    {
        if (in.at == nullptr)
            return make(false);
        if (in.at->is_array())
            return make(std::ranges::any_of(in.at->get_array(), [&](const json::value& item) { return equal(what, {&item}); }));
        if (in.at->is_object())
            return make(what.at != nullptr && what.at->is_string() && in.at->get_object().contains(what.at->get_string()));
        if (in.at->is_string() && what.at != nullptr && what.at->is_string())
            return make(text_of(in.at->get_string()).find(text_of(what.at->get_string())) != std::string_view::npos);
        return error_at(place, "\"in\" asks lists, objects and strings");
    }

    Result<Value> filter(const Expr& expr)
    {
        TRY(const Value value, evaluate(expr.args[0]));
        switch (expr.filter) {
        case Filter::default_: {
            const bool also_false = expr.args.size() > 2;
            Value wide;
            if (also_false) {
                TRY(wide, evaluate(expr.args[2]));
            }
            if (is_true(wide) ? is_true(value) : value.at != nullptr)
                return value;
            return expr.args.size() > 1 ? evaluate(expr.args[1]) : Result<Value>(make(json::value(json::string())));
        }
        case Filter::length: return length(value, expr.place);
        case Filter::first:
        case Filter::last: {
            if (value.at == nullptr || !value.at->is_array())
                return error_at(expr.place, "this is no list");
            const json::array& list = value.at->get_array();
            return list.empty() ? Value{} : Value{expr.filter == Filter::first ? &list.front() : &list.back()};
        }
        case Filter::items: return items(value, expr.place);
        case Filter::join: return join(value, expr);
        case Filter::replace: return replace(value, expr);
        default: break;
        }
        TRY(std::string made, text_in(value, expr.place));
        switch (expr.filter) {
        case Filter::safe: return text(std::move(made), expr.place, true);
        case Filter::escape: return text(value.safe ? std::move(made) : escaped_html(made, tree_.dialect), expr.place, true);
        case Filter::upper: return text(in_case(made, Case::upper), expr.place);
        case Filter::lower: return text(in_case(made, Case::lower), expr.place);
        case Filter::capitalize: return text(in_case(made, Case::capitalize), expr.place);
        case Filter::title: return text(in_case(made, Case::title), expr.place);
        case Filter::trim: return text(std::string(trim(made)), expr.place);
        default: return text(percent_encoded(made), expr.place);
        }
    }

    Result<Value> length(Value value, Place place)
    {
        if (value.at != nullptr && value.at->is_array())
            return make(number(value.at->get_array().size()));
        if (value.at != nullptr && value.at->is_object())
            return make(number(value.at->get_object().size()));
        if (value.at == nullptr || !value.at->is_string())
            return error_at(place, "this has no length");
        const std::string_view octets = text_of(value.at->get_string());
        const auto count = std::ranges::count_if(octets, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; });
        return make(number(static_cast<std::size_t>(count)));
    }

    Result<Value> items(Value value, Place place)
    {
        if (value.at == nullptr || !value.at->is_object())
            return error_at(place, "this is no object");
        json::array pairs;
        for (const auto& [name, member] : value.at->get_object()) {
            TRY_VOID(step(place));
            pairs.push_back(json::array{name, member});
        }
        return make(std::move(pairs));
    }

    Result<Value> join(Value value, const Expr& expr)
    {
        if (value.at == nullptr)
            return Value{};
        if (!value.at->is_array())
            return error_at(expr.place, "this is no list");
        std::string between, joined;
        if (expr.args.size() > 1) {
            TRY(const Value said, evaluate(expr.args[1]));
            TRY(between, text_in(said, expr.place));
        }
        for (const json::value& item : value.at->get_array()) {
            TRY_VOID(step(expr.place));
            if (&item != value.at->get_array().begin())
                joined += between;
            TRY(const std::string one, text_in({&item}, expr.place));
            joined += one;
            if (joined.size() > limits_.octets)
                break;                                         // text() says so
        }
        return text(std::move(joined), expr.place);
    }

    Result<Value> replace(Value value, const Expr& expr)
    {
        TRY(const std::string from, text_in(value, expr.place));
        TRY(const Value what, evaluate(expr.args[1]));
        TRY(const Value with, evaluate(expr.args[2]));
        TRY(const std::string old, text_in(what, expr.place));
        TRY(const std::string by, text_in(with, expr.place));
        if (old.empty())
            return error_at(expr.place, "nothing is replaced by something");
        std::string made;
        std::size_t at = 0;
        for (std::size_t found; (found = from.find(old, at)) != from.npos && made.size() <= limits_.octets; at = found + old.size())
            made.append(from, at, found - at).append(by);
        made.append(from, at);
        return text(std::move(made), expr.place);
    }

    const Tree& tree_;
    std::span<const json::object* const> values_;
    const RenderLimits& limits_;
    std::string out_;
    std::vector<Frame> frames_;
    std::deque<json::value> made_;           // on the way
    std::size_t steps_ = 0, held_ = 0;
};

}  // namespace

Template::Template(std::unique_ptr<Tree> tree) : tree_(std::move(tree)) {}
Template::Template(Template&&) noexcept = default;
Template& Template::operator=(Template&&) noexcept = default;
Template::~Template() = default;

Result<Template> Template::compile(Dialect dialect, std::string_view source, bool html)
{
    auto tree = std::make_unique<Tree>();
    tree->dialect = dialect;
    tree->html = html;
    if (dialect == Dialect::literal) {
        if (!source.empty())
            tree->nodes.push_back({.kind = Node::Kind::text, .text = std::string(source)});
    } else {
        TRY(tree->nodes, dialect == Dialect::jinja ? parse_jinja(source) : parse_handlebars(source));
    }
    return Template(std::move(tree));
}

Result<std::string> Template::render(std::span<const json::object* const> values, const RenderLimits& limits) const
{
    return Renderer(*tree_, values, limits).run();
}

bool Template::literal() const
{
    return std::ranges::all_of(tree_->nodes, [](const Node& node) { return node.kind == Node::Kind::text; });
}

}  // namespace posthorn::inject
