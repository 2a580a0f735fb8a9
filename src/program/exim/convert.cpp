#include "exim/convert.hpp"

#include "base/fd.hpp"
#include "base/json.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"
#include "commands/new_instance.hpp"
#include "migrate/new_folder.hpp"
#include "migrate/queue_folder.hpp"
#include "migrate/show.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <netdb.h>
#include <pwd.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <ctime>
#include <filesystem>

namespace posthorn::exim {

namespace {

using commands::Failure;

constexpr int all_carried = 0, look_here = 1, no_file = 2;
constexpr std::size_t largest_file = 64 << 20;
constexpr const char* convert_usage = "usage: posthorn migrate --exim FILE [--json] [--to DIR]";

Result<std::string> read_whole_file(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return system_error("open " + path, errno);
    std::string octets;
    std::array<char, 65536> piece{};
    for (ssize_t got; (got = ::read(file.get(), piece.data(), piece.size())) != 0;) {
        if (got < 0)
            return system_error("read " + path, errno);
        octets.append(piece.data(), static_cast<std::size_t>(got));
        if (octets.size() > largest_file)
            return Error{fmt::format("{}: more than {} octets", path, largest_file)};
    }
    return octets;
}

/// A name of one part is looked up for its full form, as Exim does.
std::string full_host_name()
{
    std::array<char, 256> name{};
    if (::gethostname(name.data(), name.size() - 1) != 0)
        return "localhost";
    std::string host = name.data();
    if (host.find('.') != host.npos)
        return host;
    addrinfo hints{};
    hints.ai_flags = AI_CANONNAME;
    hints.ai_socktype = SOCK_STREAM;
    addrinfo* found = nullptr;
    if (::getaddrinfo(host.c_str(), nullptr, &hints, &found) == 0) {
        if (found->ai_canonname)
            host = found->ai_canonname;
        ::freeaddrinfo(found);
    }
    return host;
}

std::string line_of_verdict(const Verdict& verdict)
{
    const std::string_view becomes = verdict.kind == Verdict::Kind::becomes ? "becomes " : "";
    return fmt::format("  {}: {}: {}\n      {}{}\n", verdict.place.text(), verdict.where, verdict.statement, becomes, verdict.text);
}

std::size_t count(const Translation& translation, Verdict::Kind kind)
{
    return static_cast<std::size_t>(std::ranges::count(translation.verdicts, kind, &Verdict::kind));
}

void print(const std::string& text)
{
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size())
        throw Failure("standard output: write error", submit::exit_io);
}

struct ConvertWords {
    std::string file;
    std::optional<std::string> to;
    bool json = false;
};

ConvertWords parse_words(std::span<char*> args)
{
    ConvertWords words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        const auto operand = [&]() -> std::string {
            if (i + 1 >= args.size() || !args[i + 1] || !*args[i + 1])
                throw Failure(fmt::format("{} needs an operand\n{}", word, convert_usage), submit::exit_usage);
            return args[++i];
        };
        if (word == "--exim")
            words.file = operand();
        else if (word == "--to")
            words.to = operand();
        else if (word == "--json")
            words.json = true;
        else
            throw Failure(convert_usage, submit::exit_usage);
    }
    return words;
}

int run_convert(std::span<char*> args)
{
    const ConvertWords words = parse_words(args);
    const std::string path = std::filesystem::absolute(words.file).lexically_normal().string();
    const Machine machine = this_machine();
    const auto tree = read_configuration(path, machine.read);
    if (!tree)
        throw Failure(tree.error().text(), no_file);
    Translation translation = translate(*tree, machine);
    for (const std::string& missed : unjudged(*tree, translation))  // a mistake of ours: said, so that nobody relies on it
        translation.refusals.push_back(missed + ": nothing was said of it");
    std::optional<migrate::Survey> written;
    std::optional<Error> trouble;
    if (words.to) {
        auto made = write_directory(translation, path, *words.to);
        if (made)
            written = *std::move(made);
        else
            trouble = made.error();
    }
    print(words.json ? as_json(translation, path, written ? &*written : nullptr) : as_text(translation, path, written ? &*written : nullptr));
    if (std::fflush(stdout) != 0)
        return submit::exit_io;
    if (trouble)
        throw Failure(trouble->text(), no_file);
    const bool differs = count(translation, Verdict::Kind::left_out) > 0 || !translation.refusals.empty() || (written && migrate::differs(*written));
    return differs ? look_here : all_carried;
}

}  // namespace

bool is_asked_for(std::span<char*> args)
{
    return std::ranges::any_of(args, [](const char* word) { return word && std::string_view(word) == "--exim"; });
}

int main(std::span<char*> args) { return commands::guarded("posthorn migrate", run_convert, args); }

Machine this_machine()
{
    Machine machine;
    machine.read = read_whole_file;
    machine.exists = [](const std::string& path) { return ::access(path.c_str(), F_OK) == 0; };
    machine.folder = [](const std::string& path) {
        std::vector<std::string> names;
        std::error_code trouble;
        for (std::filesystem::directory_iterator at(path, trouble), end; !trouble && at != end; at.increment(trouble))
            names.push_back(at->path().filename().string());
        std::ranges::sort(names);
        return names;
    };
    machine.user = [](const std::string& name) -> std::optional<std::pair<unsigned, unsigned>> {
        const passwd* const found = ::getpwnam(name.c_str());
        return found ? std::optional(std::pair(static_cast<unsigned>(found->pw_uid), static_cast<unsigned>(found->pw_gid))) : std::nullopt;
    };
    machine.host_name = full_host_name();
    ::setpwent();
    while (const passwd* const user = ::getpwent())
        machine.users.emplace_back(user->pw_name);
    ::endpwent();
    return machine;
}

std::string main_cf_text(const Translation& translation, const std::string& source)
{
    std::string text = fmt::format("# Made by posthorn migrate of {}; above each setting stands what it comes of.\n", source);
    for (const Setting& setting : translation.settings) {
        for (const std::string& because : setting.because)
            text += fmt::format("# {}\n", because);
        // main.cf knows "$name": what comes of Exim with a dollar is meant so, or has none.
        std::string value;
        for (const char c : setting.value)
            value += c == '\n' ? ' ' : c;
        text += fmt::format("{} ={}{}\n", setting.name, value.empty() ? "" : " ", value);
    }
    return text;
}

std::string master_cf_text(const Translation& translation, const std::string& source)
{
    std::string text = fmt::format("# Made by posthorn migrate of {}.\n", source);
    const std::string stock = commands::stock_master_cf("smtp");
    const std::size_t first = stock.find("smtp inet"), behind = stock.find('\n', first) + 1;
    text += stock.substr(0, first);
    for (const std::string& listener : translation.listeners) {
        text += fmt::format("{} inet n -       n       -       {}       smtpd\n", listener, translation.smtp_processes);
        if (std::ranges::find(translation.wrapped, listener) != translation.wrapped.end())
            text += "    -o smtpd_tls_wrappermode=yes\n";
    }
    text += stock.substr(behind);
    for (const ServiceLines& lines : translation.services) {
        for (const std::string& because : lines.because)
            text += fmt::format("# {}\n", because);
        text += lines.text;
    }
    return text;
}

Result<migrate::Survey> write_directory(const Translation& translation, const std::string& source, const std::string& to)
{
    if (!translation.refusals.empty())
        return Error{
            fmt::format("nothing was written, since this must not be lost: {}. Take it out of a copy of {}, and write by hand what it asked for",
                        fmt::join(translation.refusals, "; "), source)};
    migrate::NewFolder made(to);
    TRY_VOID(made.is_free());
    if (::mkdir(made.beside().c_str(), 0755) != 0)
        return system_error("create " + made.beside(), errno);
    const auto put = [&](const std::string& name, const std::string& text, mode_t mode) {
        struct stat like{};
        like.st_uid = ::geteuid();
        like.st_gid = ::getegid();
        like.st_mode = mode;
        like.st_atim = like.st_mtim = {.tv_sec = std::time(nullptr), .tv_nsec = 0};
        return migrate::write_new_file(made.beside() + "/" + name, text, like);
    };
    TRY_VOID(put("main.cf", main_cf_text(translation, source), 0644));
    TRY_VOID(put("master.cf", master_cf_text(translation, source), 0644));
    for (const TableText& table : translation.tables)
        TRY_VOID(put(table.name, table.content, table.secret ? 0600 : 0644));
    if (::chmod(made.beside().c_str(), 0755) != 0)                 // whatever umask is
        return system_error("set the mode of " + made.beside(), errno);
    TRY_VOID(migrate::sync_folder(made.beside()));
    TRY_VOID(made.would_start(source));
    TRY_VOID(made.land());
    return migrate::survey(made.path());
}

std::string as_text(const Translation& translation, const std::string& source, const migrate::Survey* written)
{
    std::string text = fmt::format("{}: {} statements; {} become something, {} need nothing, {} are not carried over\n", source,
                                   translation.verdicts.size(), count(translation, Verdict::Kind::becomes),
                                   count(translation, Verdict::Kind::nothing_needed), count(translation, Verdict::Kind::left_out));
    const auto section = [&](std::string_view title, auto wanted) {
        std::string lines;
        for (const Verdict& verdict : translation.verdicts)
            if (wanted(verdict))
                lines += line_of_verdict(verdict);
        if (!lines.empty())
            text += fmt::format("\n{}\n{}", title, lines);
    };
    if (!translation.refusals.empty()) {
        text += "\nNothing is written while these are in it: what they refuse would be let in\n";
        for (const std::string& refusal : translation.refusals)
            text += fmt::format("  {}\n", refusal);
    }
    section("NOT REFUSED ANY MORE: what these refuse is taken here, unless you do something about it", [](const Verdict& v) { return v.loud; });
    section("Not carried over", [](const Verdict& v) { return v.kind == Verdict::Kind::left_out && !v.loud; });
    section("Becomes", [](const Verdict& v) { return v.kind == Verdict::Kind::becomes; });
    section("Nothing needed", [](const Verdict& v) { return v.kind == Verdict::Kind::nothing_needed; });
    text += "\n";
    if (!written)
        return text + fmt::format("Nothing was written. `posthorn migrate --exim {} --to DIR` writes a configuration directory.\n", source);
    if (const std::string findings = migrate::findings_text(*written); !findings.empty())
        text += fmt::format("What is to be said of {}\n{}\n", written->directory, findings);
    return text +
           fmt::format(
               "Written to {}: main.cf, master.cf, {} tables. Ask it: `posthorn migrate --ask FILE {}`. To start: stop Exim, then `posthorn -c {} start`.\n",
               written->directory, translation.tables.size(), written->directory, written->directory);
}

std::string as_json(const Translation& translation, const std::string& source, const migrate::Survey* written)
{
    std::string statements, refusals;
    for (const Verdict& verdict : translation.verdicts)
        statements += fmt::format("{}{{\"file\": {}, \"line\": {}, \"where\": {}, \"statement\": {}, \"verdict\": {}, \"text\": {}, \"loud\": {}}}",
                                  statements.empty() ? "" : ", ", json_text(verdict.place.file), verdict.place.line, json_text(verdict.where),
                                  json_text(verdict.statement), json_text(to_text(verdict.kind)), json_text(verdict.text), verdict.loud);
    for (const std::string& refusal : translation.refusals)
        refusals += (refusals.empty() ? "" : ", ") + json_text(refusal);
    return fmt::format("{{\"file\": {}, \"carried\": {}, \"statements\": [{}], \"refusals\": [{}], \"written\": {}, \"findings\": [{}]}}\n",
                       json_text(source), count(translation, Verdict::Kind::left_out) == 0 && translation.refusals.empty(), statements, refusals,
                       written ? json_text(written->directory) : "null", written ? migrate::findings_json(written->findings) : std::string());
}

}  // namespace posthorn::exim
