//! Runs containers from eight threads at once: nothing but the threads' own containers is waited for.

use std::error::Error;
use std::thread;

fn main() -> Result<(), Box<dyn Error>> {
    let containers = &embed::arguments()?;
    thread::scope(|scope| {
        let threads = (0..8).map(|number| {
            scope.spawn(move || -> Result<Option<i32>, runtime_core::Error> {
                let container = containers.start(&format!("thread-{number}"), number)?;
                let init = container.init()?.ok_or_else(lost)?;
                let status = init.wait()?;
                containers.remove(&container)?;
                Ok(status.code())
            })
        });
        for thread in threads.collect::<Vec<_>>() {
            let code = thread.join().map_err(|_| "a thread panicked")??;
            println!("exited with {code:?}");
        }
        Ok(())
    })
}

fn lost() -> runtime_core::Error {
    runtime_core::Error::new(runtime_core::ErrorKind::Host, "its init is gone")
}
