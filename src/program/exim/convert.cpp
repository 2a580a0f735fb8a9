#include "exim/convert.hpp"

#include "base/fd.hpp"
#include "base/strings.hpp"
#include "commands/command.hpp"
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
#include <cstdlib>
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
        const auto operand = [&] { return commands::operand_of(args, i, convert_usage); };
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
        auto landed = migrate::write_directory(translation, path, *words.to);
        if (landed)
            written = *std::move(landed);
        else
            trouble = landed.error();
    }
    const migrate::Survey* const made = written ? &*written : nullptr;
    print(words.json ? migrate::as_json(translation, path, made) : migrate::as_text(translation, {"Exim", "--exim", path}, made));
    if (std::fflush(stdout) != 0)
        return submit::exit_io;
    if (trouble)
        throw Failure(trouble->text(), no_file);
    const bool differs = !migrate::all_carried(translation) || (written && migrate::differs(*written));
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
    machine.environment = [](const std::string& name) -> std::optional<std::string> {
        const char* const value = std::getenv(name.c_str());
        return value ? std::optional<std::string>(value) : std::nullopt;
    };
    machine.host_name = full_host_name();
    ::setpwent();
    while (const passwd* const user = ::getpwent())
        machine.users.emplace_back(user->pw_name);
    ::endpwent();
    return machine;
}

}  // namespace posthorn::exim
