#include "kumomta/convert_policy.hpp"

#include "base/fd.hpp"
#include "commands/command.hpp"
#include "kumomta/translate.hpp"
#include "migrate/show.hpp"
#include "submit/exit_status.hpp"

#include <fmt/format.h>

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

namespace posthorn::kumomta {

namespace {

using commands::Failure;

constexpr int carried = 0, to_look_at = 1, not_done = 2;
constexpr std::size_t largest_data_file = 16 << 20;
constexpr const char* policy_usage = "usage: posthorn migrate --kumomta FILE [--json] [--to DIR | DIR]";

Result<std::string> whole_file(const std::string& path)
{
    const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return system_error("open " + path, errno);
    std::string octets;
    std::array<char, 65536> piece{};
    for (ssize_t got = 0; (got = ::read(file.get(), piece.data(), piece.size())) != 0;) {
        if (got < 0)
            return system_error("read " + path, errno);
        octets.append(piece.data(), static_cast<std::size_t>(got));
        if (octets.size() > largest_data_file)
            return Error{fmt::format("{}: more than {} octets", path, largest_data_file)};
    }
    return octets;
}

struct PolicyWords {
    std::string file;
    std::optional<std::string> to;
    bool json = false;
};

PolicyWords policy_words(std::span<char*> args)
{
    PolicyWords words;
    for (std::size_t i = 1; i < args.size() && args[i]; ++i) {
        const std::string_view word = args[i];
        const auto operand = [&] { return commands::operand_of(args, i, policy_usage); };
        if (word == "--kumomta")
            words.file = operand();
        else if (word == "--json")
            words.json = true;
        else if (word == "--to" && !words.to)
            words.to = operand();
        else if (!word.empty() && !word.starts_with('-') && !words.to)
            words.to = std::string(word);
        else
            throw Failure(policy_usage, submit::exit_usage);
    }
    return words;
}

int convert_policy(std::span<char*> args)
{
    const PolicyWords words = policy_words(args);
    std::filesystem::path path = std::filesystem::absolute(words.file).lexically_normal();
    std::error_code ignored;
    if (std::filesystem::is_directory(path, ignored))
        path /= "init.lua";
    const Machine machine = this_machine();
    const auto policy = read_policy(path.string(), machine);
    if (!policy)
        throw Failure(policy.error().text(), not_done);
    const migrate::Translation translation = translate(*policy, machine);
    std::optional<migrate::Survey> written;
    std::optional<Error> trouble;
    if (words.to) {
        auto landed = migrate::write_directory(translation, path.string(), *words.to);
        if (landed)
            written = *std::move(landed);
        else
            trouble = landed.error();
    }
    const migrate::Survey* const made = written ? &*written : nullptr;
    const std::string text = words.json ? migrate::as_json(translation, path.string(), made)
                                        : migrate::as_text(translation, {"KumoMTA", "--kumomta", path.string()}, made);
    if (std::fwrite(text.data(), 1, text.size(), stdout) != text.size() || std::fflush(stdout) != 0)
        throw Failure("standard output: write error", submit::exit_io);
    if (trouble)
        throw Failure(trouble->text(), not_done);
    return migrate::all_carried(translation) && !(written && migrate::differs(*written)) ? carried : to_look_at;
}

}  // namespace

bool is_asked_for(std::span<char*> args)
{
    return std::ranges::any_of(args, [](const char* word) { return word && std::string_view(word) == "--kumomta"; });
}

int main(std::span<char*> args) { return commands::guarded("posthorn migrate", convert_policy, args); }

Machine this_machine()
{
    Machine machine;
    machine.read = whole_file;
    machine.exists = [](const std::string& path) { return ::access(path.c_str(), R_OK) == 0; };
    machine.environment = [](const std::string& variable) -> std::optional<std::string> {
        const char* const value = std::getenv(variable.c_str());
        return value ? std::optional<std::string>(value) : std::nullopt;
    };
    std::array<char, 256> name{};
    machine.host_name = ::gethostname(name.data(), name.size() - 1) == 0 && name[0] != '\0' ? name.data() : "localhost";
    return machine;
}

}  // namespace posthorn::kumomta
