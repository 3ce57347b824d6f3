/* What `.venv/bin/tidegate` is: it notes which signals are ignored, and becomes the Python script beside it.
 *
 * Python ignores SIGPIPE and SIGXFSZ from its first moment, and afterwards the kernel does not know what they were
 * before. `tidegate run` has to know, since its command gets them as they were (tidegate/supervise/inherited.py). */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define VARIABLE "TIDEGATE_IGNORED_SIGNALS"

static int is_ignored(int number)
{
    struct sigaction now;
    return sigaction(number, NULL, &now) == 0 && now.sa_handler == SIG_IGN;
}

/* Sets the variable to the numbers that are ignored, as `13,25`; without any it is not set. */
static int note_ignored(void)
{
    const int changed_by_python[] = {SIGPIPE, SIGXFSZ};
    char text[32] = "";
    size_t length = 0;
    if (unsetenv(VARIABLE) != 0)
        return -1;
    for (size_t i = 0; i < sizeof changed_by_python / sizeof *changed_by_python; i++)
        if (is_ignored(changed_by_python[i]))
            length += (size_t)snprintf(text + length, sizeof text - length, "%s%d", length > 0 ? "," : "",
                                       changed_by_python[i]);
    return length > 0 ? setenv(VARIABLE, text, 1) : 0;
}

/* Path of the script: libexec/tidegate beside the folder that this program is in, links resolved. */
static int find_script(char *out, size_t room)
{
    char own[4096];
    const ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length < 0)
        return -1;
    own[length] = '\0';
    for (int up = 0; up < 2; up++) {
        char *slash = strrchr(own, '/');
        if (slash == NULL)
            return -1;
        *slash = '\0';
    }
    const int written = snprintf(out, room, "%s/libexec/tidegate", own);
    return written > 0 && (size_t)written < room ? 0 : -1;
}

int main(int argc, char **argv)
{
    char script[8192];
    (void)argc;
    if (note_ignored() != 0 || find_script(script, sizeof script) != 0) {
        perror("tidegate");
        return 1;
    }
    execv(script, argv);
    fprintf(stderr, "tidegate: cannot start %s: %s\n", script, strerror(errno));
    return 1;
}
