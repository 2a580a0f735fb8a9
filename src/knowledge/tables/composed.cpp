#include "tables/composed.hpp"

#include "base/strings.hpp"
#include "tables/source.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <random>

namespace posthorn::tables {

namespace {

using Members = std::vector<std::shared_ptr<Table>>;

class ComposedTable : public Table {
public:
    ComposedTable(std::string spec, Members members) : Table(std::move(spec)), members_(std::move(members)) {}

    bool pattern() const final { return members_.front()->pattern(); }
    bool in_memory() const final
    {
        return std::ranges::all_of(members_, [](const auto& member) { return member->in_memory(); });
    }
    std::optional<Error> broken() final
    {
        for (const auto& member : members_)
            if (auto reason = member->broken())
                return reason;
        return std::nullopt;
    }

protected:
    const Members& members() const { return members_; }

private:
    Members members_;
};

class UnionTable final : public ComposedTable {
public:
    using ComposedTable::ComposedTable;
    Answer find(std::string_view key) override
    {
        std::optional<std::string> all;
        for (const auto& member : members()) {
            TRY(auto value, member->find(key));
            add(all, std::move(value));
        }
        return some(std::move(all));
    }
    awaitable<Answer> lookup(std::string key) override
    {
        std::optional<std::string> all;
        for (const auto& member : members()) {
            auto value = co_await member->lookup(key);
            if (!value)
                co_return std::move(value).error();
            add(all, std::move(*value));
        }
        co_return some(std::move(all));
    }

private:
    /// Nothing but empty values is none.
    static std::optional<std::string> some(std::optional<std::string> all) { return all && all->empty() ? std::nullopt : std::move(all); }
    static void add(std::optional<std::string>& all, std::optional<std::string> value)
    {
        if (!value)
            return;
        if (all && !all->empty())
            *all += "," + *value;
        else
            all = std::move(value);
    }
};

class PipeTable final : public ComposedTable {
public:
    using ComposedTable::ComposedTable;
    Answer find(std::string_view key) override
    {
        std::string value(key);
        for (const auto& member : members()) {
            TRY(auto next, member->find(value));
            if (!next)
                return std::nullopt;
            value = std::move(*next);
        }
        return value;
    }
    awaitable<Answer> lookup(std::string key) override
    {
        for (const auto& member : members()) {
            CO_TRY(auto next, co_await member->lookup(key));
            if (!next)
                co_return std::nullopt;
            key = std::move(*next);
        }
        co_return key;
    }
};

std::string shown(const std::optional<std::string>& value) { return value ? fmt::format("\"{}\"", printable(*value, true)) : "not found"; }

class DebugTable final : public ComposedTable {
public:
    DebugTable(std::string spec, Members members, observe::Log log) : ComposedTable(std::move(spec), std::move(members)), log_(std::move(log)) {}
    Answer find(std::string_view key) override { return told(key, members().front()->find(key)); }
    awaitable<Answer> lookup(std::string key) override
    {
        auto answer = co_await members().front()->lookup(key);
        co_return told(key, std::move(answer));
    }
    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each) override { return members().front()->visit(each); }

private:
    Answer told(std::string_view key, Answer answer) const
    {
        log_.info("{} lookup: \"{}\": {}", name(), printable(key, true), answer ? shown(*answer) : "error: " + answer.error().what());
        return answer;
    }
    observe::Log log_;
};

class RandomTable final : public Table {
public:
    RandomTable(std::string spec, std::vector<std::string> values) : Table(std::move(spec)), values_(std::move(values)) {}
    Answer find(std::string_view) override { return values_[std::uniform_int_distribution<std::size_t>(0, values_.size() - 1)(random_)]; }

private:
    std::vector<std::string> values_;
    std::minstd_rand random_{std::random_device{}()};
};

class EmptyTable final : public Table {
public:
    using Table::Table;
    Answer find(std::string_view) override { return std::nullopt; }
    Result<void> visit(const std::function<void(std::string_view, std::string_view)>&) override { return {}; }
};

std::shared_ptr<Table> bad_syntax(const std::string& spec, std::string_view need)
{
    return broken_table(spec, Error{fmt::format("bad syntax: \"{}\"; need \"{}\"", spec, need)});
}

/// The inside of "{ ... }" in pieces; none where it is not that, or empty.
std::vector<std::string_view> pieces_of(std::string_view name)
{
    const auto inside = unbrace(name);
    return inside ? split_braced(*inside) : std::vector<std::string_view>{};
}

template <class Composed>
std::shared_ptr<Table> compose(std::string spec, std::string_view name, std::string_view kind, Flags flags, Tables& tables)
{
    Members members;
    for (const std::string_view piece : pieces_of(name))
        members.push_back(tables.open(piece, flags));
    if (members.empty())
        return bad_syntax(spec, fmt::format("{}:{{type:name...}}", kind));
    return std::make_shared<Composed>(std::move(spec), std::move(members));
}

}  // namespace

std::shared_ptr<Table> open_unionmap(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return compose<UnionTable>(std::move(spec), name, "unionmap", flags, tables);
}

std::shared_ptr<Table> open_pipemap(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return compose<PipeTable>(std::move(spec), name, "pipemap", flags, tables);
}

std::shared_ptr<Table> open_randmap(std::string spec, std::string name, Flags, Tables& tables)
{
    (void)tables;
    std::vector<std::string> values;
    for (const std::string_view piece : pieces_of(name))
        values.emplace_back(piece);
    if (values.empty())
        return bad_syntax(spec, "randmap:{value...}");
    return std::make_shared<RandomTable>(std::move(spec), std::move(values));
}

std::shared_ptr<Table> open_internal(std::string spec, std::string, Flags, Tables&) { return std::make_shared<EmptyTable>(std::move(spec)); }

std::shared_ptr<Table> open_debug(std::string spec, std::string name, Flags flags, Tables& tables)
{
    auto table = tables.open(name, flags);
    return std::make_shared<DebugTable>(std::move(spec), Members{std::move(table)}, tables.site().log);
}

std::vector<std::string> members_of(std::string_view spec)
{
    std::vector<std::string> members;
    if (spec.starts_with("debug:"))
        members.emplace_back(spec.substr(6));
    else if (spec.starts_with("unionmap:") || spec.starts_with("pipemap:"))
        for (const std::string_view piece : pieces_of(spec.substr(spec.find(':') + 1)))
            members.emplace_back(piece);
    return members;
}

}  // namespace posthorn::tables
