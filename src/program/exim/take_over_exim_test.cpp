// A run is cut off behind every step; Posthorn, or the Exim, works on what it may in between; the next run finishes. Each message once.
#include "exim/exim_lives.hpp"
#include "exim/take_over_exim.hpp"
#include "migrate/queue_test.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cstdlib>

using namespace posthorn;
using migrate::testing::Queues;
namespace fs = std::filesystem;

namespace {

const std::string first = "1tGhmA-000001-01", second = "1tGhmB-00000000002-0002", frozen = "1tGhmC-000003-01";

/// As small as Exim's manual lets them be.
class Spool : public Queues {
public:
    Spool() : Queues({"input", "input/A", "input/C", "msglog", "msglog/C"}) {}

    void put(const std::string& folder, const std::string& id, const std::string& recipient, const std::string& variables = {},
             const std::string& tree = "XX\n") const
    {
        head(folder, id, recipient, variables, tree);
        write(folder + "/" + id + "-D", id + "-D\n" + recipient + "\n");
    }
    /// As Exim writes it again after a try: another file by that name.
    void head(const std::string& folder, const std::string& id, const std::string& recipient, const std::string& variables = {},
              const std::string& tree = "XX\n") const
    {
        write("input/hdr", fmt::format("{}-H\nmail 8 8\n<s@x.test>\n1795662802 0\n{}{}1\n{}\n\n011  Subject: x\n", id, variables, tree, recipient));
        fs::rename(theirs() + "/input/hdr", theirs() + "/" + folder + "/" + id + "-H");
    }
    void fill() const
    {
        put("input", first, "a@x.test");
        write("msglog/" + first, "received\n");
        put("input", second, "b@x.test");
        put("input/C", frozen, "held@x.test", "-frozen 1795662900\n");
        write("msglog/C/" + frozen, "frozen\n");
    }
    bool has(const std::string& name) const { return fs::exists(theirs() + "/" + name); }
    /// Whatever Exim would find of messages.
    std::multiset<std::string> theirs_left() const
    {
        std::multiset<std::string> left;
        for (const char* folder : {"/input", "/msglog"})
            for (const auto& entry : fs::recursive_directory_iterator(theirs() + folder))
                if (!entry.is_directory())
                    left.insert(entry.path().filename().string());
        return left;
    }
};

/// An Exim that works on a message: a process of its own, with the lock that Exim takes.
class Holder {
public:
    explicit Holder(const std::string& data)
    {
        int pipes[2];
        REQUIRE(::pipe(pipes) == 0);
        pid_ = ::fork();
        if (pid_ == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            struct flock lock{};
            lock.l_type = F_WRLCK;
            lock.l_len = static_cast<off_t>(first.size()) + 3;
            const int file = ::open(data.c_str(), O_RDWR);
            const bool locked = file >= 0 && ::fcntl(file, F_SETLK, &lock) == 0;
            if (::write(pipes[1], locked ? "y" : "n", 1) == 1)
                ::pause();
            ::_exit(1);
        }
        char answer = 0;
        CHECK(::read(pipes[0], &answer, 1) == 1);
        CHECK(answer == 'y');
        ::close(pipes[0]);
        ::close(pipes[1]);
    }
    Holder(Holder&&) = delete;
    ~Holder()
    {
        ::kill(pid_, SIGKILL);
        ::waitpid(pid_, nullptr, 0);
    }

private:
    pid_t pid_ = -1;
};

Result<migrate::Taken> take(const Spool& spool) { return exim::take_over_queue(spool.config(), spool.theirs()); }

}  // namespace

TEST_CASE("exim queue: wherever a run is cut off, and whatever was delivered in between, each message comes once and the frozen one is on hold")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const Spool spool;
        spool.fill();
        const bool cut = spool.cut_off(exim::take_over_queue, step);
        auto delivered = spool.deliver();
        CHECK_FALSE(spool.cut_off(exim::take_over_queue, 0));
        delivered.merge(spool.deliver());
        CHECK(delivered == std::multiset<std::string>{"a@x.test", "b@x.test"});
        CHECK(spool.deliver(true) == std::multiset<std::string>{"held@x.test"});
        CHECK(spool.theirs_left().empty());
        for (const std::string& id : {first, second, frozen})
            for (const char* end : {"-H", "-D"})
                CHECK(spool.has("posthorn-taken/input/" + id + "/" + id + end));
        CHECK(spool.has("posthorn-taken/input/" + first + "/msglog"));
        CHECK(spool.has("posthorn-taken/input/" + frozen + "/msglog"));
        CHECK_FALSE(spool.has("posthorn-taken/input/" + first + "/left"));
        if (!cut) {
            CHECK(step > 6);
            break;
        }
    }
}

TEST_CASE("exim queue: Exim went on with a message after a run was cut off: what it delivered does not come from us")
{
    for (int step = 1;; ++step) {
        CAPTURE(step);
        const Spool spool;
        spool.put("input", first, "a@x.test");
        spool.put("input", second, "b@x.test");
        spool.put("input/C", frozen, "c@x.test");
        const bool cut = spool.cut_off(exim::take_over_queue, step);
        std::multiset<std::string> delivered = spool.deliver();
        // The first it delivers; of the second, a crash leaves a journal; the third is thawed, tried and written anew.
        if (spool.has("input/" + first + "-H")) {
            delivered.insert("a@x.test");
            fs::remove(spool.theirs() + "/input/" + first + "-H");
            fs::remove(spool.theirs() + "/input/" + first + "-D");
        }
        if (spool.has("input/" + second + "-H")) {
            delivered.insert("b@x.test");
            spool.write("input/" + second + "-J", "b@x.test\n");
        }
        if (spool.has("input/C/" + frozen + "-H"))
            spool.head("input/C", frozen, "c@x.test");
        CHECK_FALSE(spool.cut_off(exim::take_over_queue, 0));
        delivered.merge(spool.deliver());
        CHECK(delivered == std::multiset<std::string>{"a@x.test", "b@x.test", "c@x.test"});
        CHECK(spool.deliver(true).empty());
        CHECK(spool.theirs_left().empty());
        CHECK(fs::is_empty(spool.theirs() + "/posthorn-taken/taking"));
        // What it went on with is not thrown away either.
        CHECK(spool.has("posthorn-taken/withdrawn") == (step < 3));
        if (!cut)
            break;
    }
}

TEST_CASE("exim queue: a journal that cannot be read tells of nobody: what has one is not released")
{
    const Spool spool;
    spool.put("input", first, "a@x.test");
    CHECK(spool.cut_off(exim::take_over_queue, 2));                 // committed on hold
    const std::string journal = spool.theirs() + "/input/" + first + "-J";
    fs::create_directory(journal);
    CHECK_FALSE(spool.cut_off(exim::take_over_queue, 0));
    CHECK(spool.deliver().empty());
    CHECK(spool.has("input/" + first + "-H"));
    fs::remove(journal);
    spool.write("input/" + first + "-J", "a@x.test\n");             // whoever it was told of has it
    CHECK_FALSE(spool.cut_off(exim::take_over_queue, 0));
    CHECK(spool.deliver().empty());
    CHECK(spool.theirs_left().empty());
}

TEST_CASE("exim queue: a run that was cut off while it took a message out of its folders, or while it linked one, is finished by the next")
{
    const Spool spool;
    spool.put("input/A", first, "a@x.test");
    spool.write("input/A/" + first + "-J", "another@x.test\n");
    spool.write("msglog/" + first, "2026-11-27 23:30:11 another@x.test: t transport succeeded\n2026-11-27 23:30:11 a@x.test R=r T=t defer (-44)\n");
    spool.put("input", second, "b@x.test");
    CHECK(spool.cut_off(exim::take_over_queue, 2));
    for (const auto& link : fs::directory_iterator(spool.theirs() + "/posthorn-taken/taking"))
        for (const std::string& head : {"/input/A/" + first + "-H", "/input/" + second + "-H"})
            if (fs::exists(spool.theirs() + head) &&
                link.path().filename().string().starts_with("input+" + fs::path(head).filename().string().substr(0, 16)))
                fs::rename(spool.theirs() + head, link.path() / "left");
    CHECK_FALSE(spool.has("input/A/" + first + "-H"));
    CHECK_FALSE(spool.has("input/" + second + "-H"));
    spool.put("input", frozen, "c@x.test");
    fs::create_directories(spool.theirs() + "/posthorn-taken/new");
    spool.write("posthorn-taken/new/" + frozen + "-H", "begun");
    CHECK_FALSE(spool.cut_off(exim::take_over_queue, 0));
    CHECK(spool.deliver() == std::multiset<std::string>{"a@x.test", "b@x.test", "c@x.test"});
    CHECK(spool.theirs_left().empty());
    CHECK(spool.has("posthorn-taken/input/" + first + "/" + first + "-J"));
    CHECK_FALSE(spool.has("posthorn-taken/new"));
}

TEST_CASE("exim queue: what cannot be read is named and stays, the rest is taken")
{
    const Spool spool;
    spool.fill();
    spool.put("input", "1tGhmD-000001-01", "x@x.test", "-aclm 0 999\n");
    spool.put("input", "1tGhmE-000001-01", "x@x.test");
    fs::remove(spool.theirs() + "/input/1tGhmE-000001-01-D");
    spool.write("input/1tGhmF-000001-01-D", "1tGhmF-000001-01-D\nbegun\n");
    spool.put("input/C", "1tGhmG-000001-01", "x@x.test");
    fs::create_directories(spool.theirs() + "/big/input");
    spool.put("big/input", "1tGhmH-000001-01", "named@x.test");
    const auto taken = take(spool);
    REQUIRE_MESSAGE(taken, taken.error().text());
    CHECK(taken->by_queue == std::map<std::string, std::uint64_t>{{"input", 3}, {"queue-big", 1}});
    CHECK(taken->messages == 4);
    std::multiset<std::string> troubles;
    for (const migrate::Trouble& one : taken->troubles)
        troubles.insert(fs::path(one.path).filename().string() + ": " + one.reason);
    CHECK(troubles == std::multiset<std::string>{
                          "1tGhmD-000001-01-H: 1tGhmD-000001-01-H, line 5: an ACL variable that is not as long as it says",
                          "1tGhmE-000001-01-H: open " + spool.theirs() + "/input/1tGhmE-000001-01-D: No such file or directory",
                          "1tGhmF-000001-01-D: has no -H file: it was not finished when Exim stopped, or Exim was done with it",
                          "1tGhmG-000001-01-H: Exim does not look for it there",
                      });
    CHECK(spool.theirs_left().size() == 6);
    CHECK(spool.deliver() == std::multiset<std::string>{"a@x.test", "b@x.test", "named@x.test"});
    CHECK(spool.has("posthorn-taken/queue-big/1tGhmH-000001-01/1tGhmH-000001-01-H"));
}

TEST_CASE("exim queue: who has it already is not told twice; a message of which all is done is put away")
{
    const Spool spool;
    spool.put("input", first, "a@x.test", {}, "NN a@x.test\n");
    spool.put("input", second, "b@x.test");
    spool.write("input/" + second + "-J", "b@x.test\n");
    const auto taken = take(spool);
    REQUIRE(taken);
    CHECK(taken->messages == 0);
    CHECK(taken->troubles.empty());
    CHECK(spool.deliver(true).empty());
    CHECK(spool.theirs_left().empty());
    CHECK(spool.has("posthorn-taken/input/" + second + "/" + second + "-J"));
}

TEST_CASE("exim queue: a message that an Exim holds is left to it, and while ours holds one an Exim does not get it")
{
    const Spool spool;
    spool.fill();
    const std::string data = spool.theirs() + "/input/" + first + "-D";
    {
        const Holder exim(data);
        const auto taken = take(spool);
        REQUIRE(taken);
        REQUIRE(taken->troubles.size() == 1);
        CHECK(taken->troubles[0].reason == "an Exim works on it now");
        CHECK(spool.theirs_left() == std::multiset<std::string>{first, first + "-D", first + "-H"});
    }
    // One that is on its way already is not begun under another id.
    CHECK(spool.cut_off(exim::take_over_queue, 2));
    {
        const Holder exim(data);
        const auto taken = take(spool);
        REQUIRE(taken);
        REQUIRE(taken->troubles.size() == 1);
        CHECK(taken->troubles[0].path.starts_with(spool.theirs() + "/posthorn-taken/taking/input+" + first));
        CHECK(spool.deliver(true) == std::multiset<std::string>{"a@x.test", "b@x.test", "held@x.test"});
    }
    const Spool other;
    other.fill();
    const std::string others = other.theirs() + "/input/" + first + "-D";
    int steps = 0;
    bool held = false;
    const auto rest = exim::take_over_queue(other.config(), other.theirs(), [&] {
        if (++steps != 1)
            return;
        struct flock lock{};
        lock.l_type = F_WRLCK;
        lock.l_len = 1;
        const int file = ::open(others.c_str(), O_RDWR);
        held = ::fcntl(file, F_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
        ::close(file);
    });
    REQUIRE(rest);
    CHECK(held);
    CHECK(take(spool));
    CHECK(spool.theirs_left().empty());
}

TEST_CASE("exim queue: an Exim that runs on the spool, or another run, is in the way")
{
    const Spool spool;
    spool.fill();
    CHECK_FALSE(exim::exim_on(spool.theirs()));
    // A program of that name that stands in the spool, as Exim's processes do. Not in /dev/shm, where nothing may be run.
    std::string folder = "/tmp/posthorn-exim.XXXXXX";
    REQUIRE(::mkdtemp(folder.data()));
    const std::string program = folder + "/exim4";
    fs::copy_file("/bin/sleep", program);
    for (const std::string& stands : {spool.theirs() + "/input", spool.theirs(), std::string("/")}) {
        CAPTURE(stands);
        const pid_t pid = ::fork();
        if (pid == 0) {
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (::chdir(stands.c_str()) == 0)
                ::execl(program.c_str(), "exim4", "1000", nullptr);
            ::_exit(1);
        }
        const std::string process = fmt::format("/proc/{}/exe", pid);
        std::error_code ignored;
        while (fs::read_symlink(process, ignored).filename() != "exim4" && ::kill(pid, 0) == 0)
            ::usleep(1000);
        if (stands == "/") {
            CHECK_FALSE(exim::exim_on(spool.theirs()));
            spool.write("exim-daemon.pid", fmt::format("{}\n", pid));
        }
        CHECK(exim::exim_on(spool.theirs()) == pid);
        const auto refused = take(spool);
        REQUIRE_FALSE(refused);
        CHECK(refused.error().text() == fmt::format("an Exim works on {} (process {}): stop it first", spool.theirs(), pid));
        ::kill(pid, SIGKILL);
        ::waitpid(pid, nullptr, 0);
    }
    fs::remove_all(folder);
    CHECK_FALSE(exim::exim_on(spool.theirs()));
    CHECK(spool.theirs_left().size() == 8);
    std::string second_run;
    const auto taken = exim::take_over_queue(spool.config(), spool.theirs(), [&] {
        if (const auto other = take(spool); !other)
            second_run = other.error().text();
    });
    REQUIRE(taken);
    CHECK(second_run == fmt::format("another run works on {}", spool.theirs()));
    CHECK(taken->messages == 3);
}
