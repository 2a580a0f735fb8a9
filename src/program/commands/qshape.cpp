// qshape(1): the queue by domain and age. Asked of qmgr; what waits in the maildrop is read there.
#include "commands/command.hpp"
#include "commands/letters.hpp"
#include "commands/qshape_table.hpp"
#include "inquiry/queue_client.hpp"

#include "base/strings.hpp"
#include "submit/framing.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <ctime>
#include <filesystem>
#include <fstream>

namespace posthorn::commands {

using inquiry::QueueClient;

namespace {

constexpr int wrong_usage = 255;

[[noreturn]] void refuse(const std::string& what)
{
    throw Failure(fmt::format("{}\nusage: qshape [-s] [-p] [-m min_subdomains] [-b bucket_count] [-t bucket_time] [-l] [-w terminal_width]\n"
                              "              [-N batch_msg_count] [-n batch_top_domains] [-c config_directory] [queue_name...]",
                              what),
                  wrong_usage);
}

int number(const char* text, char option, int least, int most)
{
    const auto value = parse_number(text);
    if (!value || *value < static_cast<unsigned>(least) || *value > static_cast<unsigned>(most))
        refuse(fmt::format("-{} {}: a number from {} to {} is needed", option, printable(text), least, most));
    return static_cast<int>(*value);
}

struct Shape {
    Shape(QshapeOptions options, bool by_sender) : table(options), senders(by_sender) {}

    QshapeTable table;
    bool senders = false;
    std::int64_t now = ::time(nullptr);

    void add(const handoff::Envelope& envelope, std::int64_t arrival)
    {
        const auto age = std::chrono::duration_cast<std::chrono::minutes>(std::chrono::seconds(std::max<std::int64_t>(now - arrival, 0)));
        if (senders)
            table.add(QshapeTable::domain_of(envelope.sender()), age);
        else
            for (const handoff::Recipient& recipient : envelope.recipients())
                table.add(QshapeTable::domain_of(recipient.address()), age);
    }
};

/// Submissions that nobody has picked up yet.
void add_maildrop(Shape& shape, const std::string& folder)
{
    std::error_code trouble;
    const std::filesystem::directory_iterator entries(folder, trouble);
    if (trouble)
        throw Failure(fmt::format("{}: {}", folder, trouble.message()), 2);
    for (const auto& entry : entries) {
        struct stat about{};
        if (::lstat(entry.path().c_str(), &about) != 0 || !S_ISREG(about.st_mode))
            continue;                                              // picked up meanwhile
        std::ifstream file(entry.path(), std::ios::binary);
        handoff::Envelope envelope;
        bool whole = false;
        submit::Framing framing(
            0,
            [&](std::string_view octets) -> Result<void> {
                whole = envelope.ParseFromArray(octets.data(), static_cast<int>(octets.size()));
                return Error{"enough"};
            },
            [](std::string_view) -> Result<void> { return {}; });
        for (char octets[4096]; file && !whole;) {
            file.read(octets, sizeof octets);
            if (file.gcount() == 0 || !framing.feed({octets, static_cast<std::size_t>(file.gcount())}))
                break;
        }
        if (whole)
            shape.add(envelope, about.st_mtime);
    }
}

int run_qshape(std::span<char*> args)
{
    std::optional<std::string> directory;
    QshapeOptions options;
    bool senders = false;
    for (int option; (option = ::getopt(static_cast<int>(args.size()), args.data(), qshape_letters)) > 0;) {
        const char letter = static_cast<char>(option);
        switch (option) {
        case 's': senders = true; break;
        case 'p': options.parents = true; break;
        case 'm': options.least_subdomains = static_cast<std::size_t>(number(::optarg, letter, 1, 1'000'000)); break;
        case 'b': options.buckets = number(::optarg, letter, 1, 40) - 1; break;
        case 't': options.first = number(::optarg, letter, 1, 1'000'000); break;
        case 'l': options.linear = true; break;
        case 'w': options.width = number(::optarg, letter, 1, 10'000); break;
        case 'N':                                                  // the queue manager answers at once: there is nothing to show in between
        case 'n': number(::optarg, letter, 1, 1'000'000); break;
        case 'c': directory = ::optarg; break;
        default: refuse("an option that is none");
        }
    }
    const config::Snapshot snapshot = load_config("qshape", directory);
    const std::string queue_directory = snapshot.text("queue_directory");
    std::vector<std::string> queues, unknown;
    for (const std::string_view word : args.subspan(static_cast<std::size_t>(::optind))) {
        std::string name(word);
        if (name.starts_with(queue_directory + "/"))
            name.erase(0, queue_directory.size() + 1);
        while (name.size() > 1 && name.ends_with('/'))
            name.pop_back();
        static constexpr std::string_view known[] = {"incoming", "active", "deferred", "hold", "maildrop"};
        (std::ranges::find(known, name) != std::end(known) ? queues : unknown).push_back(name);
    }
    if (queues.empty() && unknown.empty())
        queues = {"incoming", "active"};
    for (const std::string& name : unknown)
        fmt::print(stderr, "Can't stat {}: No such file or directory\n", printable(name));
    Shape shape(options, senders);
    const auto asked = [&](std::string_view name) { return std::ranges::find(queues, name) != queues.end(); };
    if (queues.size() > std::size_t{asked("maildrop")}) {
        const auto listed = QueueClient(snapshot).list([&](const handoff::QueueEntry& entry) {
            if (asked(entry.queue_name()))
                shape.add(entry.envelope(), entry.envelope().arrival() / 1'000'000);
        });
        if (!listed)
            throw Failure(listed.error().text(), 2);
    }
    if (asked("maildrop"))
        add_maildrop(shape, queue_directory + "/maildrop");
    fmt::print("{}", shape.table.text());
    return std::fflush(stdout) == 0 ? 0 : 2;
}

}  // namespace

int qshape(std::span<char*> args) { return guarded("qshape", run_qshape, args); }

}  // namespace posthorn::commands
