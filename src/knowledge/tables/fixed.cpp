#include "tables/fixed.hpp"

#include "tables/reloading.hpp"

#include <cstdlib>

namespace posthorn::tables {

namespace {

/// Entries of a text, in one map: texthash and inline.
class EntriesTable : public Table {
public:
    EntriesTable(std::string spec, Flags flags) : Table(std::move(spec)), flags_(flags) {}

    Answer find(std::string_view key) final
    {
        TRY(const Entries* entries, current());
        return find_folded(key, flags_, [&](std::string_view folded) -> Answer {
            const auto at = entries->find(folded);
            if (at == entries->end())
                return std::nullopt;
            return at->second;
        });
    }
    std::optional<Error> broken() final
    {
        auto now = current();
        return now ? std::nullopt : std::optional{now.error()};
    }
    Result<void> visit(const std::function<void(std::string_view, std::string_view)>& each) final
    {
        TRY(const Entries* entries, current());
        const std::map<std::string_view, std::string_view> sorted(entries->begin(), entries->end());
        for (const auto& [key, value] : sorted)
            each(key, value);
        return {};
    }

protected:
    virtual Result<const Entries*> current() = 0;
    Flags flags_;
};

void add_entry(Entries& entries, KeyValue entry, std::string_view file, Warnings& warnings)
{
    const auto [at, fresh] = entries.try_emplace(std::move(entry.key), std::move(entry.value));
    if (!fresh)
        warnings.push_back(fmt::format("{}, line {}: duplicate entry: \"{}\"", file, entry.line, at->first));
}

Result<std::shared_ptr<const Entries>> parse_texthash(const std::string& text, const std::string& file, Flags flags,
                                                      const std::shared_ptr<FileOpener>& opener, Warnings& warnings)
{
    auto entries = std::make_shared<Entries>();
    LogicalLines lines(text, file, warnings);
    for (LogicalLine line; lines.next(line);) {
        auto entry = parse_key_value(line, file, flags, warnings);
        if (!entry)
            continue;
        if (flags.file_values) {
            auto value = read_file_values(entry->value, *opener);
            if (!value) {
                warnings.push_back(fmt::format("{}, line {}: {}: skipping this entry", file, entry->line, value.error().what()));
                continue;
            }
            entry->value = std::move(*value);
        }
        add_entry(*entries, std::move(*entry), file, warnings);
    }
    return std::shared_ptr<const Entries>(std::move(entries));
}

class TextHashTable final : public EntriesTable {
public:
    TextHashTable(std::string spec, std::string path, Flags flags, const Site& site)
        : EntriesTable(std::move(spec), flags), file_(site, path, [path, flags, opener = site.opener](const std::string& text, Warnings& warnings) {
              return parse_texthash(text, path, flags, opener, warnings);
          })
    {
    }

private:
    Result<const Entries*> current() override
    {
        auto now = file_.current();
        if (!now)
            return Error{replace_open(now.error().what()), now.error().status()};
        return *now;
    }
    /// Postfix says "open database FILE: ..." where it reads a table, "open FILE: ..." elsewhere.
    static std::string replace_open(const std::string& what) { return what.starts_with("open ") ? "open database " + what.substr(5) : what; }
    Reloading<Entries> file_;
};

class InlineTable final : public EntriesTable {
public:
    InlineTable(std::string spec, Flags flags, Entries entries) : EntriesTable(std::move(spec), flags), entries_(std::move(entries)) {}

private:
    Result<const Entries*> current() override { return &entries_; }
    Entries entries_;
};

class StaticTable final : public Table {
public:
    StaticTable(std::string spec, Flags flags, std::string value) : Table(std::move(spec)), flags_(flags), value_(std::move(value)) {}
    Answer find(std::string_view key) override
    {
        if (flags_.utf8 && !is_ascii(key) && !is_valid_utf8(key))
            return std::nullopt;
        return value_;
    }

private:
    Flags flags_;
    std::string value_;
};

/// Opens like any other; every question fails.
class FailTable final : public Table {
public:
    using Table::Table;
    Answer find(std::string_view) override { return Error{"Application error", "4.3.0"}; }
};

class EnvironTable final : public Table {
public:
    using Table::Table;
    Answer find(std::string_view key) override
    {
        const char* value = std::getenv(std::string(key).c_str());
        return value != nullptr ? Answer{value} : Answer{std::nullopt};
    }
};

}  // namespace

std::optional<KeyValue> parse_key_value(const LogicalLine& line, std::string_view file, Flags flags, Warnings& warnings, std::string_view ignoring)
{
    const auto warn = [&](std::string text) { warnings.push_back(fmt::format("{}, line {}: {}", file, line.number, text)); };
    std::string_view rest = trim(line.text);
    if (flags.utf8 && !is_ascii(rest) && !is_valid_utf8(rest)) {
        warn(fmt::format("non-UTF-8 input \"{}\" -- ignoring this line", printable(rest)));
        return std::nullopt;
    }
    bool unbalanced = false;
    const std::string_view key = take_key(rest, unbalanced);
    if (unbalanced) {
        warn(fmt::format("unbalanced '\"' in '{}' -- ignoring this line", printable(line.text, true)));
        return std::nullopt;
    }
    if (rest.empty()) {
        warn(fmt::format("expected format: key whitespace value{}", ignoring));
        return std::nullopt;
    }
    if (key.ends_with(':'))
        warn("record is in \"key: value\" format; is this an alias file?");
    return KeyValue{flags.fold ? fold_key(key, flags.utf8) : std::string(key), std::string(rest), line.number};
}

Result<std::string> read_file_values(std::string_view names, FileOpener& opener)
{
    std::string octets;
    for (const std::string_view name : split_braced(names)) {
        TRY(const Fd fd, opener.open(std::string(name)));
        TRY(const std::string text, read_all(fd.get()));
        if (!octets.empty())
            octets += '\n';                                      // several PEM files in one value
        octets += text;
    }
    if (octets.empty())
        return Error{fmt::format("empty file name or file: {}", names)};
    return base64_encode(octets);
}

std::shared_ptr<Table> open_texthash(std::string spec, std::string name, Flags flags, Tables& tables)
{
    return std::make_shared<TextHashTable>(std::move(spec), std::move(name), flags, tables.site());
}

std::shared_ptr<Table> open_inline(std::string spec, std::string name, Flags flags, Tables& tables)
{
    const auto bad = [&](std::string_view why) {
        return broken_table(spec, Error{fmt::format("{}: \"{}\"; need \"inline:{{name=value...}}\"", why, spec)});
    };
    const auto inside = unbrace(name);
    if (!inside || inside->empty())
        return bad("bad syntax");
    Entries entries;
    Warnings warnings;
    for (std::string_view piece : split_braced(*inside)) {
        if (piece.starts_with('{')) {
            const auto bare = unbrace(piece);
            if (!bare)
                return bad(bare.error().what());
            piece = *bare;
        }
        const auto pair = split_name_value(piece);
        if (!pair)
            return bad(pair.error().what());
        KeyValue entry{flags.fold ? fold_key(pair->first, flags.utf8) : std::string(pair->first), std::string(pair->second)};
        if (flags.file_values) {
            auto value = read_file_values(entry.value, *tables.site().opener);
            if (!value)
                return broken_table(spec, value.error());
            entry.value = std::move(*value);
        }
        const auto [at, fresh] = entries.try_emplace(std::move(entry.key), std::move(entry.value));
        if (!fresh)
            tables.site().log.warning("{}: duplicate entry: \"{}\"", spec, at->first);
    }
    return std::make_shared<InlineTable>(std::move(spec), flags, std::move(entries));
}

std::shared_ptr<Table> open_static(std::string spec, std::string name, Flags flags, Tables& tables)
{
    std::string value = name;
    if (name.starts_with('{')) {
        const auto inside = unbrace(name);
        if (!inside)
            return broken_table(spec, Error{fmt::format("bad static:name syntax: {}", inside.error().what())});
        value = *inside;
    }
    if (flags.file_values) {
        auto content = read_file_values(value, *tables.site().opener);
        if (!content)
            return broken_table(spec, content.error());
        value = std::move(*content);
    }
    return std::make_shared<StaticTable>(std::move(spec), flags, std::move(value));
}

std::shared_ptr<Table> open_fail(std::string spec, std::string, Flags, Tables&) { return std::make_shared<FailTable>(std::move(spec)); }

std::shared_ptr<Table> open_nis(std::string spec, std::string, Flags, Tables&)
{
    const std::string text = spec;
    return broken_table(
        std::move(spec),
        Error{text + ": NIS is not supported; put its maps into files (ypcat -k NAME > FILE, then texthash:FILE or postmap), or use ldap"});
}

std::shared_ptr<Table> open_environ(std::string spec, std::string, Flags, Tables&) { return std::make_shared<EnvironTable>(std::move(spec)); }

}  // namespace posthorn::tables
