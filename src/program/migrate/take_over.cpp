#include "migrate/take_over.hpp"

#include "base/strings.hpp"
#include "migrate/queue_file.hpp"

#include <fmt/format.h>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <filesystem>

namespace posthorn::migrate {

namespace {

class PostfixQueue final : public Source {
public:
    explicit PostfixQueue(std::string directory) : directory_(std::move(directory)) {}

    const std::string& directory() const override { return directory_; }
    Result<std::vector<std::string>> queues() override { return std::vector<std::string>{"maildrop", "incoming", "active", "deferred", "hold"}; }

    Result<std::vector<Found>> messages(const std::string& queue, std::vector<Trouble>& troubles) override
    {
        TRY(auto files, files_of_queue(directory_, queue));
        std::erase_if(files, [&](const Found& file) { return !is_complete(file, troubles); });
        return files;
    }

    Result<Original> read(const Found& message, const std::string& link, const TakeContent& content) override
    {
        TRY(const FileRead file, read_regular_file(link.empty() ? message.path : link));
        TRY(QueueFile read, read_queue_file(file.octets, content));
        Original original;
        original.envelope = std::move(read.envelope);
        original.done = read.done;
        original.hold = message.queue == "hold";
        original.requeue = !read.cleaned;
        if (original.requeue)
            original.envelope.set_submitter(file.about.st_uid);
        // The queue manager of Postfix keeps the time of the next try in the file's.
        if (message.queue == "deferred" && file.about.st_mtim.tv_sec > ::time(nullptr))
            original.next_try = WallTime{std::chrono::seconds{file.about.st_mtim.tv_sec}};
        return original;
    }

    Result<void> link(const Found& message, const std::string& link) override
    {
        if (::link(message.path.c_str(), link.c_str()) != 0)
            return system_error(fmt::format("link {} to {}", message.path, link), errno);
        return {};
    }

    Result<void> take_out(const Found& message, const std::string& /*link*/, std::vector<std::string>& folders) override
    {
        if (message.path.empty())
            return {};
        if (::unlink(message.path.c_str()) != 0 && errno != ENOENT)
            return system_error("take " + message.path + " out of its queue", errno);
        folders.push_back(std::filesystem::path(message.path).parent_path().string());
        return {};
    }

    /// The name in its queue that is the same file, if it has not left yet.
    Result<Whereabouts> look(const Found& message, const std::string& link) override
    {
        struct stat kept{}, source{};
        TRY(const auto files, files_of_queue(directory_, message.queue));  // else it might be released, and still lie there
        if (::stat(link.c_str(), &kept) != 0)
            return system_error("open " + link, errno);
        for (const Found& file : files)
            if (file.name == message.name && ::stat(file.path.c_str(), &source) == 0 && source.st_ino == kept.st_ino && source.st_dev == kept.st_dev)
                return Whereabouts{Whereabouts::State::waiting, file.path};
        return Whereabouts{};
    }

    /// Reports that Postfix had begun: whom they are about has left the queue file, and who sent it does not know.
    Result<void> name_the_rest(std::vector<Trouble>& troubles) override
    {
        TRY(const auto files, files_of_queue(directory_, "bounce"));
        for (const Found& file : files) {
            struct stat about{};
            if (::stat(file.path.c_str(), &about) == 0 && about.st_size > 0)
                troubles.push_back({file.path, "recipients failed, and Postfix had not told their sender yet"});
        }
        return {};
    }

private:
    /// Postfix gives a file its owner's x bit when it is whole; what lacks it nobody was told of. Files of ours in a maildrop have dots.
    static bool is_complete(const Found& file, std::vector<Trouble>& troubles)
    {
        if (file.queue == "maildrop" && file.name.find('.') != std::string::npos)
            return false;
        struct stat about{};
        if (!std::ranges::all_of(file.name, [](char c) { return is_alnum(c); })) {
            troubles.push_back({file.path, "no queue file by its name"});
            return false;
        }
        if (::lstat(file.path.c_str(), &about) != 0 || (about.st_mode & S_IXUSR) == 0) {
            troubles.push_back({file.path, "was not finished when Postfix stopped: its sender was told nothing, and keeps it"});
            return false;
        }
        return true;
    }

    std::string directory_;
};

}  // namespace

Result<Taken> take_over_queue(const config::Snapshot& snapshot, const std::string& from, const Step& step)
{
    PostfixQueue queue(from);
    return move_in(snapshot, queue, step);
}

}  // namespace posthorn::migrate
