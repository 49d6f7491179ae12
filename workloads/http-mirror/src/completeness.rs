//! Whether this mirror has all of a repository that anybody can know of: asked when a request names a hash that is not
//! stored here, which is then nowhere.

use protocol::CreationId;
use tokio::sync::{mpsc, oneshot};

/// Requests that may wait for an answer; what is asked beyond is not answered, and may be asked again later.
pub const MAX_QUESTIONS: usize = 256;

pub struct Question {
    pub repository: CreationId,
    /// Sent when everything of the repository that was acknowledged before the question is applied here; dropped when
    /// that cannot be told.
    pub answer: oneshot::Sender<()>,
}

/// Where to ask. The default one is answered by nobody.
#[derive(Clone)]
pub struct Completeness {
    questions: mpsc::Sender<Question>,
}

impl Default for Completeness {
    fn default() -> Completeness {
        Completeness::channel().0
    }
}

impl Completeness {
    pub fn channel() -> (Completeness, mpsc::Receiver<Question>) {
        let (questions, asked) = mpsc::channel(MAX_QUESTIONS);
        (Completeness { questions }, asked)
    }

    /// False when it cannot be told.
    pub(crate) async fn of(&self, repository: CreationId) -> bool {
        let (answer, answered) = oneshot::channel();
        self.questions.try_send(Question { repository, answer }).is_ok() && answered.await.is_ok()
    }
}
