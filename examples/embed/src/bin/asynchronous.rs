//! Runs containers from an asynchronous program: making one blocks, so that it goes to a thread that may; its end is an
//! event of its pidfd.

use std::error::Error;
use std::sync::Arc;

use smol::{Async, block_on, spawn, unblock};

type Failure = Box<dyn Error + Send + Sync>;

fn main() -> Result<(), Failure> {
    let containers = Arc::new(embed::arguments()?);
    let tasks = (0..8).map(|number| {
        let containers = Arc::clone(&containers);
        spawn(async move {
            let maker = Arc::clone(&containers);
            let container = unblock(move || maker.start(&format!("task-{number}"), number)).await?;
            let init = container.init()?.ok_or("its init is gone")?;
            Async::new_nonblocking(init.try_clone()?.pidfd)?.readable().await?;
            let status = init.wait()?;
            unblock(move || containers.remove(&container)).await?;
            Ok::<_, Failure>(status.code())
        })
    });
    for task in tasks.collect::<Vec<_>>() {
        println!("exited with {:?}", block_on(task)?);
    }
    Ok(())
}
